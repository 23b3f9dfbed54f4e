// Mistakes in a file with counts, and notes on how it was read, in bokmål: a sentence for each code of the gateway.

/** @import { FileTexts } from "../count_messages.js" */
/** @import { Figures } from "../texts.js" */

const EXAMPLES = "Skriv 09.09.2024 22:05 eller 2024-09-09T22:05:00+02:00.";
const UTF_8 = "Lagre filen som UTF-8 (i et regneark: CSV UTF-8).";
const TEXT_FORMAT = "Regneark fjerner nuller foran; gjør kolonnen om til tekst, og skriv dem på nytt.";
const REPLACES = "En telling erstatter hele den forrige, med alle kategoriene.";

/**
 * @param {Figures} figures
 * @returns {FileTexts}
 */
export const texts = ({ number, count, either, both, listed, sentence }) => {
  const figure = (/** @type {number | string} */ n) => (typeof n === "number" ? number(n) : n);
  const quoted = (/** @type {string[]} */ each) => listed(each.map((text) => `«${text}»`));
  const more = (/** @type {number} */ n) => (n ? ` og ${number(n)} til` : "");
  const meant = (/** @type {string[]} */ closest) => (closest.length ? ` Mente du ${either(closest)}?` : "");
  const given = (/** @type {string | null} */ text) => (text === null ? "ingenting" : `«${text}»`);
  return {
    line: (line) => `linje ${line}`,
    lines: (first, last) => `linje ${first} til ${last}`,
    element: (line, element) => `linje ${line}, element ${element}`,
    column: (letters, header) => `kolonne ${letters}${header ? ` (${header})` : ""}`,

    messages: {
      file_too_large: ({ mib }) => `Filen er større enn ${number(mib)} MiB. Del den på flere filer.`,
      files_too_large: ({ mib }) =>
        `Filene er til sammen større enn ${number(mib)} MiB. Send dem én etter én.`,
      other_program: ({ extension }) =>
        `Filer av typen .${extension} kan ikke leses. Lagre tabellen som Excel-arbeidsbok (.xlsx) eller CSV UTF-8 (.csv).`,
      unknown_extension: ({ extension }) =>
        `«${extension}» er ikke en filtype som kan leses. Bruk .csv, .xlsx, .json, .ndjson eller .xml.`,
      workbook_named_csv: () => "Filen er en arbeidsbok, ikke CSV. La navnet ende på .xlsx.",
      no_report: () => "Filen har ingen telling.",
      too_many_reports: ({ most }) =>
        `Mer enn ${count(most, "telling", "tellinger")}. Del dem på flere filer, og send dem én etter én.`,
      too_many_mistakes: ({ most }) => `Mer enn ${number(most)} feil. Resten av filen er ikke kontrollert.`,
      utf_32: () => `Teksten er UTF-32. ${UTF_8}`,
      utf_16: () => `Teksten er UTF-16. ${UTF_8}`,
      not_utf_8: () => `Teksten er ikke UTF-8. ${UTF_8}`,
      damaged_utf_16: () => `Teksten er skadet UTF-16. ${UTF_8}`,
      bad_json: () => "Innholdet er ikke gyldig JSON.",
      bad_eml: ({ reason }) => `Innholdet er ikke EML 510 som ventet: ${reason}.`,
      eml_mistake: ({ reason }) => `Det er noe galt med tallene: ${reason}.`,
      eml_without_registry: () => "EML kan bare leses med valgets register.",
      nested_too_deeply: () => "Innholdet har for mange nivåer.",
      not_a_report: ({ kind }) => `Her står ${kind}, ikke en telling.`,
      element_not_a_report: ({ kind }) => `Her står ${kind}, ikke en telling.`,
      workbook_protected: () =>
        "Arbeidsboken er beskyttet med passord, eller den er av den gamle typen (.xls). Lagre den som .xlsx, uten passord.",
      not_a_workbook: () => "Filen er ikke en Excel-arbeidsbok (.xlsx).",
      bad_workbook: () =>
        "Arbeidsboken kan ikke leses: den er skadet, for stor eller laget på en ukjent måte. Lagre den på nytt fra " +
        "regnearket, eller lagre tabellen som CSV UTF-8.",
      sheets_empty: () => "Alle arkene er tomme.",
      several_tables: ({ sheets }) =>
        `Arkene ${quoted(sheets)} har hver sin tabell med tall. Lagre hvert av dem som en egen fil.`,
      table_hidden: ({ sheet }) => `Tabellen er i arket «${sheet}», som er skjult. Vis det.`,
      cells_merged: ({ cells }) => `Cellene ${cells} er slått sammen. Del dem, og fyll ut hver av dem.`,
      unknown_separator: () => "Kolonnene skal skilles med komma, semikolon eller tabulator.",
      bad_csv: () => "Raden kan ikke deles i celler. Kontroller anførselstegnene.",
      too_many_rows: ({ most }) => `Mer enn ${count(most, "rad", "rader")}. Del tabellen på flere filer.`,
      figures_above_header: ({ head_line }) =>
        `Det står tall over overskriftene i tabellen, som er i linje ${head_line}. Flytt tallene under dem, eller slett linjen.`,
      misread_header: ({ shown, intended }) =>
        `Overskriften «${shown}» skulle vært «${intended}»: UTF-8 er lest som en annen tegnkoding. Åpne originalen som UTF-8, og lagre som CSV UTF-8.`,
      ambiguous_column: ({ shown, meanings }) =>
        `Overskriften «${shown}» kan være ${either(meanings)}. Bruk ett av dem som overskrift.`,
      column_repeated: ({ shown }) => `Kolonnen «${shown}» er der to ganger.`,
      columns_alike: ({ shown, other, meaning }) =>
        `Kolonnene «${shown}» og «${other}» betyr begge «${meaning}».`,
      no_column: ({ missing, word, separator }) =>
        `Kolonnen «${missing}»${word ? ` («${word}»)` : ""} mangler.${separator ? ` Kolonnene er skilt med ${separator}.` : ""}`,
      unnamed_column: ({ shown, head_line }) =>
        `«${shown}» står i en kolonne uten overskrift. Gi kolonnen en overskrift i linje ${head_line}, eller tøm cellen.`,
      beyond_columns: ({ shown, cells, columns, head_line }) =>
        `«${shown}» står i en kolonne uten overskrift: raden har ${count(cells, "celle", "celler")}, men tabellen bare ` +
        `${count(columns, "kolonne", "kolonner")}. Gi kolonnen en overskrift i linje ${head_line}, eller tøm cellen.`,
      head_repeated: () => "Linjen gjentar overskriftene. Slett den.",
      second_head: () => "Linjen er en ny rad med andre overskrifter. Legg radene etter den i en egen fil.",
      control_character: ({ character }) => `Cellen inneholder tegnet ${character}, som ikke kan brukes.`,
      misread_cell: ({ shown, intended }) =>
        `«${shown}» skulle vært «${intended}»: UTF-8 er lest som en annen tegnkoding. Åpne originalen som UTF-8, og lagre som CSV UTF-8.`,
      unknown_column: ({ shown, header, closest }) =>
        `«${shown}» står i en kolonne som ikke leses: «${header}» er verken en kjent kolonne eller et parti i dette valget.${meant(closest)}`,
      number_as_name: ({ shown }) => `Kolonnen er for navn, ikke for tallet «${shown}».`,
      wrong_cell: ({ shown, why }) => `«${shown}» er ${why}.`,
      several_columns_in_cell: ({ shown, head_line }) =>
        `«${shown}» er flere kolonner i én celle. Skill dem som i linje ${head_line}.`,
      misplaced_number: ({ shown }) =>
        `«${shown}» er et tall i en kolonne som ikke er for tall, og raden har ingen andre. Flytt det til riktig kolonne.`,
      total_differs: ({ total, first, last, sum }) =>
        `Summen er ${figure(total)}, men linje ${first} til ${last} gir ${figure(sum)}. Rett tallene, eller slett linjen.`,
      total_of_one_row: ({ total, first, sum }) =>
        `Summen er ${figure(total)}, men linje ${first} gir ${figure(sum)}. Rett tallene, eller slett linjen.`,
      total_of_no_rows: ({ total, sum }) =>
        `Summen er ${figure(total)}, men det er ingen rader å summere (${figure(sum)}). Rett tallet, eller slett linjen.`,
      no_unit: () => "Tellestedet mangler.",
      no_category: () => "Kategorien mangler.",
      lost_zeros: ({ shown, units }) =>
        `«${shown}» er ikke et tellested i dette valget. Mente du ${either(units)}? ${TEXT_FORMAT}`,
      no_figures: ({ status }) =>
        `Tellestedet har statusen «${status}», men ingen tall. Fyll ut tallene, eller tøm revisjon og årsak for å utelate tellestedet.`,
      category_repeated: ({ line }) =>
        `Kategorien er ført to ganger for tellestedet; den står i linje ${line} også.`,
      rows_differ: ({ shown, other, line }) =>
        `Her står «${shown}», men i linje ${line} står «${other}» for samme tellested.`,
      cell_not_a_time: ({ shown, why }) => `«${shown}» er ikke et gyldig tidspunkt. ${sentence(why)}`,
      not_whole: ({ shown, why }) =>
        `«${shown}» er ikke et helt tall. ${sentence(why ?? "skriv et helt tall")}`,
      out_of_range: ({ shown, least, most }) =>
        `«${shown}» er for stort. Tallet skal være fra ${number(least)} til ${number(most)}.`,
      counted_in_future: ({ time, now }) =>
        `Tidspunktet for tellingen, ${time}, er i fremtiden. Mottakstjenestens klokke viser ${now}.`,
      counted_long_before: ({ time, date }) =>
        `Tidspunktet for tellingen, ${time}, er mer enn et år før valget (${date}).`,
      too_many_versions: ({ count: n, most }) =>
        `Tellestedet har ${count(n, "telling", "tellinger")} i filen. Høyst ${number(most)} kan sendes samtidig.`,
      revision_unclear: ({ revisions }) =>
        `Tellingen har ingen revisjon, men tellestedet har også revisjonene ${both(revisions)}. Skriv hvilken denne er.`,
      members_differ: ({ member, here, there, other }) =>
        `Kolonnen «${member}» har ${given(here)} her, men ${given(there)} i ${other}. Ett tellested med ett tidspunkt er én telling.`,
      figures_differ: ({ other }) =>
        `Tallene er andre enn i ${other}. Er det ene en nyere telling, så gi den et senere tidspunkt.`,
      revision_missing: ({ time, other, other_time }) =>
        `En av tellingene har en revisjon, den andre ikke (${time} her, ${other_time} i ${other}). Gi alle en revisjon, eller ingen.`,
      revision_order: ({ time, revision, other, other_time, other_revision }) =>
        `Tellingen fra ${time} har revisjon ${revision}, men den tidligere fra ${other_time} (${other}) har revisjon ` +
        `${other_revision}. En senere telling skal ha en høyere revisjon.`,
      category_dropped: ({ time, other, other_time }) =>
        `Kategorien mangler i tellingen fra ${time}, men er med i en tidligere fra ${other_time} (${other}). En telling ` +
        "erstatter alle tallene for tellestedet: ta med alle kategoriene, med samme tidspunkt hvis det er én telling.",
      revision_in_outbox: ({ difference, revision }) =>
        `Tellingen har ${both(difference)} enn den som ligger i utboksen som revisjon ${revision}. Gi rettelsen en høyere revisjon. ${REPLACES}`,
      count_in_outbox: ({ revision }) =>
        `Tellingen er mottatt som revisjon ${revision}, men utboksen har en annen telling med den revisjonen. Send den først.`,
      revisions_used: () => "Tellestedet har brukt alle revisjonene sine.",
      category_of_current_dropped: ({ revision, time, next }) =>
        `Kategorien mangler, men er med i den gjeldende tellingen (revisjon ${revision}, talt ${time}). ${REPLACES} Ta med ` +
        `alle kategoriene. Skal en trekkes tilbake, så skriv revisjon ${next} og en årsak.`,
      current_is_later: ({ time, difference, revision, other_time, next }) =>
        `Tellingen fra ${time} har ${both(difference)} enn den nyeste (revisjon ${revision}), som er talt senere: ` +
        `${other_time}. Er denne likevel nyere, så skriv et senere tidspunkt, eller revisjon ${next}. Ellers: ta ut tellestedet.`,
      current_at_same_time: ({ time, difference, revision, other_time, next }) =>
        `Tellingen fra ${time} har ${both(difference)} enn den nyeste (revisjon ${revision}), som har samme tidspunkt: ` +
        `${other_time}. Er denne nyere, så skriv et senere tidspunkt, eller revisjon ${next}. Ellers: ta ut tellestedet.`,
      more_contradictions: ({ count: n }) =>
        `… og ${count(n, "tellested", "tellesteder")} til med tellinger som motsier hverandre.`,
      not_permitted: () => "Tokenet gjelder ikke dette tellestedet.",
      more_not_permitted: ({ count: n }) =>
        `… og ${count(n, "tellested", "tellesteder")} til som tokenet ikke gjelder.`,
      current_unreadable: () =>
        "Den gjeldende tellingen for tellestedet kan ikke leses. Ta kontakt med valgledelsen.",

      read_as: ({ encoding }) => `Teksten er lest som ${encoding}.`,
      sheet_read: ({ sheet, others }) => `Arket «${sheet}» er lest, men ikke ${quoted(others)}.`,
      hidden_rows: ({ rows, more: n }) => `Skjulte rader er også lest: ${rows.join(", ")}${more(n)}.`,
      hidden_columns: ({ columns, more: n }) =>
        `Skjulte kolonner er også lest: ${columns.join(", ")}${more(n)}.`,
      above_table: ({ texts: each }) => `Står over tabellen og er ikke lest: ${quoted(each)}.`,
      rows_left_out: ({ lines, more: n }) =>
        `Rader uten tall er utelatt: linje ${lines.join(", ")}${more(n)}.`,
      units_left_out: ({ units, more: n }) =>
        `Tellesteder uten tall er utelatt: ${units.join(", ")}${more(n)}.`,
      no_units_left_out: ({ texts: each, more: n }) =>
        `Utelatt, for det er ikke tellesteder: ${each.join(", ")}${more(n)}.`,
      total_left_out: () => "En sum som stemmer med radene. Den sendes ikke.",
      totals_left_out: ({ lines, more: n }) =>
        `Summene i linje ${lines.join(", ")}${more(n)} stemmer med radene. De sendes ikke.`,

      a_null: () => "null",
      a_boolean: () => "true eller false",
      a_number: () => "et tall",
      a_text: () => "en tekst",
      a_list: () => "en liste",
      an_object: () => "et objekt",
      a_column: ({ meaning }) => `kolonnen «${meaning}»`,
      a_party: ({ meaning }) => `partiet «${meaning}»`,
      commas: () => "komma",
      semicolons: () => "semikolon",
      tabs: () => "tabulator",
      huge_number: () => "et tall med mer enn 15 sifre",
      cell_error: () => "en feil fra regnearket. Rett formelen",
      formula: () => "en formel uten lagret verdi. Lagre filen i regnearket, eller skriv inn verdien",
      a_date: () => "en dato. Regnearket har endret det som ble skrevet inn",
      formatted: () => "Formatet til cellen viser et annet tall. Skriv tallet i en celle uten format.",
      two_readings: ({ joined, whole }) => `Det kan leses som ${joined} eller ${whole}. Skriv ett av dem.`,
      not_whole_or_grouped: ({ joined, whole, decimals }) =>
        `Det kan leses som ${joined} eller som desimaltallet ${whole},${decimals}.`,
      negative: () => "Et antall kan ikke være negativt.",
      foreign_digit: ({ character }) => `Det inneholder sifferet ${character}. Bruk 0 til 9.`,
      contains: ({ character }) => `Det inneholder «${character}».`,
      contains_invisible: ({ character }) => `Det inneholder tegnet ${character}.`,
      wrong_groups: () => "Sifrene er ikke i grupper på tre.",
      no_offset: () => `Avstanden til UTC mangler. ${EXAMPLES}`,
      zone_unknown: ({ time }) =>
        `Tidssonen for valget er ikke kjent her. Skriv ${time} med avstanden til UTC, som +02:00.`,
      wrong_year: ({ year }) => `Årstallet er ${year}. ${EXAMPLES}`,
      no_such_time: () => `Datoen eller klokkeslettet finnes ikke. ${EXAMPLES}`,
      day_or_month: () => `Dag og måned kan forveksles. ${EXAMPLES}`,
      short_year: () => `Årstallet har bare to sifre. ${EXAMPLES}`,
      no_time_of_day: () => `Klokkeslettet mangler. ${EXAMPLES}`,
      other_form: () => EXAMPLES,
      time_occurs_twice: ({ first, second }) =>
        `Klokken ble stilt tilbake, så klokkeslettet finnes to ganger. Skriv ${first} eller ${second}.`,
      time_skipped: ({ time, zone, later }) =>
        `Klokken ble stilt fram, så ${time} finnes ikke i ${zone}. Kanskje er det ${later}?`,
      other_figures: () => "andre tall",
      other_member: ({ member, here, there }) =>
        `en annen «${member}» (${given(here)}, ikke ${given(there)})`,
      other_time: () => "et annet tidspunkt",

      sum_mismatch: ({ ballots, votes, blank, sum }) =>
        `Det er ført ${count(ballots, "stemmeseddel", "stemmesedler")}, men ${count(votes, "partistemme", "partistemmer")} og ` +
        `${count(blank, "blank", "blanke")} blir ${number(sum)}. Rett det som er feil.`,
      missing_cell: () => "Cellen er tom, men skal fylles ut.",
      unknown_category_cell: ({ shown, closest, known }) =>
        `«${shown}» er ikke en kategori i dette valget.${meant(closest)} Kategoriene er ${listed(known)}.`,
      not_a_unit: ({ shown, closest, units, more: n }) =>
        `«${shown}» er et område med flere tellesteder, og tall føres på hvert av dem: ${units.join(", ")}${more(n)}.${meant(closest)}`,
      unknown_unit: ({ shown, closest }) =>
        `«${shown}» er ikke et tellested i dette valget.${meant(closest)}`,
      unknown_status: ({ shown, closest, known }) =>
        `«${shown}» er ikke en kjent status.${meant(closest)} Statusene er ${listed(known)}.`,
      unknown_reason: ({ shown, closest, known }) =>
        `«${shown}» er ikke en kjent årsak.${meant(closest)} Årsakene er ${listed(known)}.`,
      unknown_category: ({ shown, closest, known }) =>
        `«${shown}» er ikke en kategori i dette valget.${meant(closest)} Kategoriene er ${listed(known)}.`,
      unknown_party: ({ shown, closest }) => `«${shown}» er ikke et parti i dette valget.${meant(closest)}`,
      party_not_on_ballot: () => "Partiet stiller ikke til valg på dette tellestedet.",
      not_a_count: ({ shown }) => `«${shown}» er ikke et helt tall.`,
      count_out_of_range: ({ shown }) =>
        `${shown} kan ikke være et antall: det er negativt eller altfor stort.`,
      revision_out_of_range: ({ shown }) => `${shown} kan ikke være en revisjon. Revisjoner begynner på 1.`,
      revision_above_ceiling: ({ shown }) =>
        `Revisjon ${shown} er over grensen for tellestedet. Ta kontakt med valgledelsen.`,
      not_a_time: ({ shown }) => `«${shown}» er ikke et gyldig tidspunkt. ${EXAMPLES}`,
      time_without_offset: ({ shown }) => `«${shown}» mangler avstanden til UTC, som +02:00.`,
      missing_member: () => "Feltet mangler.",
      unknown_member: () => "Feltet er ikke kjent.",
      repeated_member: () => "Feltet er der to ganger.",
      wrong_type: () => "Verdien er av feil type.",
      null_value: () => "Verdien kan ikke være null. Utelat feltet.",
      forbidden_character: () => "Verdien inneholder et tegn som ikke kan brukes.",
      more_violations: () => "Det er flere feil i denne tellingen.",
    },
  };
};
