// Mistakes in a file with counts, and notes on how it was read, in nynorsk: a sentence for each code of the gateway.

/** @import { FileTexts } from "../count_messages.js" */
/** @import { Figures } from "../texts.js" */

const EXAMPLES = "Skriv 09.09.2024 22:05 eller 2024-09-09T22:05:00+02:00.";
const UTF_8 = "Lagre fila som UTF-8 (i eit rekneark: CSV UTF-8).";
const TEXT_FORMAT = "Rekneark fjernar nullar framfor; gjer kolonnen om til tekst, og skriv dei på nytt.";
const REPLACES = "Ei teljing erstattar heile den førre, med alle kategoriane.";

/**
 * @param {Figures} figures
 * @returns {FileTexts}
 */
export const texts = ({ number, count, either, both, listed, sentence }) => {
  const figure = (/** @type {number | string} */ n) => (typeof n === "number" ? number(n) : n);
  const quoted = (/** @type {string[]} */ each) => listed(each.map((text) => `«${text}»`));
  const more = (/** @type {number} */ n) => (n ? ` og ${number(n)} til` : "");
  const meant = (/** @type {string[]} */ closest) => (closest.length ? ` Meinte du ${either(closest)}?` : "");
  const given = (/** @type {string | null} */ text) => (text === null ? "ingenting" : `«${text}»`);
  return {
    line: (line) => `linje ${line}`,
    lines: (first, last) => `linje ${first} til ${last}`,
    element: (line, element) => `linje ${line}, element ${element}`,
    column: (letters, header) => `kolonne ${letters}${header ? ` (${header})` : ""}`,

    messages: {
      file_too_large: ({ mib }) => `Fila er større enn ${number(mib)} MiB. Del henne på fleire filer.`,
      files_too_large: ({ mib }) =>
        `Filene er til saman større enn ${number(mib)} MiB. Send dei éi etter éi.`,
      other_program: ({ extension }) =>
        `Filer av typen .${extension} kan ikkje lesast. Lagre tabellen som Excel-arbeidsbok (.xlsx) eller CSV UTF-8 (.csv).`,
      unknown_extension: ({ extension }) =>
        `«${extension}» er ikkje ein filtype som kan lesast. Bruk .csv, .xlsx, .json, .ndjson eller .xml.`,
      workbook_named_csv: () => "Fila er ei arbeidsbok, ikkje CSV. La namnet ende på .xlsx.",
      no_report: () => "Fila har inga teljing.",
      too_many_reports: ({ most }) =>
        `Meir enn ${count(most, "teljing", "teljingar")}. Del dei på fleire filer, og send dei éi etter éi.`,
      too_many_mistakes: ({ most }) => `Meir enn ${number(most)} feil. Resten av fila er ikkje kontrollert.`,
      utf_32: () => `Teksten er UTF-32. ${UTF_8}`,
      utf_16: () => `Teksten er UTF-16. ${UTF_8}`,
      not_utf_8: () => `Teksten er ikkje UTF-8. ${UTF_8}`,
      damaged_utf_16: () => `Teksten er skadd UTF-16. ${UTF_8}`,
      bad_json: () => "Innhaldet er ikkje gyldig JSON.",
      bad_eml: ({ reason }) => `Innhaldet er ikkje EML 510 som venta: ${reason}.`,
      eml_mistake: ({ reason }) => `Det er noko gale med tala: ${reason}.`,
      eml_without_registry: () => "EML kan berre lesast med registeret til valet.",
      nested_too_deeply: () => "Innhaldet har for mange nivå.",
      not_a_report: ({ kind }) => `Her står ${kind}, ikkje ei teljing.`,
      element_not_a_report: ({ kind }) => `Her står ${kind}, ikkje ei teljing.`,
      workbook_protected: () =>
        "Arbeidsboka er verna med passord, eller ho er av den gamle typen (.xls). Lagre henne som .xlsx, utan passord.",
      not_a_workbook: () => "Fila er ikkje ei Excel-arbeidsbok (.xlsx).",
      bad_workbook: () =>
        "Arbeidsboka kan ikkje lesast: ho er skadd, for stor eller laga på ein ukjend måte. Lagre henne på nytt frå " +
        "reknearket, eller lagre tabellen som CSV UTF-8.",
      sheets_empty: () => "Alle arka er tomme.",
      several_tables: ({ sheets }) =>
        `Arka ${quoted(sheets)} har kvar sin tabell med tal. Lagre kvart av dei som ei eiga fil.`,
      table_hidden: ({ sheet }) => `Tabellen er i arket «${sheet}», som er gøymt. Vis det.`,
      cells_merged: ({ cells }) => `Cellene ${cells} er slegne saman. Del dei, og fyll ut kvar av dei.`,
      unknown_separator: () => "Kolonnane skal skiljast med komma, semikolon eller tabulator.",
      bad_csv: () => "Rada kan ikkje delast i celler. Kontroller hermeteikna.",
      too_many_rows: ({ most }) => `Meir enn ${count(most, "rad", "rader")}. Del tabellen på fleire filer.`,
      figures_above_header: ({ head_line }) =>
        `Det står tal over overskriftene i tabellen, som er i linje ${head_line}. Flytt tala under dei, eller slett linja.`,
      misread_header: ({ shown, intended }) =>
        `Overskriften «${shown}» skulle vore «${intended}»: UTF-8 er lese som ei anna teiknkoding. Opne originalen som UTF-8, og lagre som CSV UTF-8.`,
      ambiguous_column: ({ shown, meanings }) =>
        `Overskriften «${shown}» kan vere ${either(meanings)}. Bruk eitt av dei som overskrift.`,
      column_repeated: ({ shown }) => `Kolonnen «${shown}» er der to gonger.`,
      columns_alike: ({ shown, other, meaning }) =>
        `Kolonnane «${shown}» og «${other}» tyder begge «${meaning}».`,
      no_column: ({ missing, word, separator }) =>
        `Kolonnen «${missing}»${word ? ` («${word}»)` : ""} manglar.${separator ? ` Kolonnane er skilde med ${separator}.` : ""}`,
      unnamed_column: ({ shown, head_line }) =>
        `«${shown}» står i ein kolonne utan overskrift. Gi kolonnen ei overskrift i linje ${head_line}, eller tøm cella.`,
      beyond_columns: ({ shown, cells, columns, head_line }) =>
        `«${shown}» står i ein kolonne utan overskrift: rada har ${count(cells, "celle", "celler")}, men tabellen berre ` +
        `${count(columns, "kolonne", "kolonnar")}. Gi kolonnen ei overskrift i linje ${head_line}, eller tøm cella.`,
      head_repeated: () => "Linja gjentek overskriftene. Slett henne.",
      second_head: () => "Linja er ei ny rad med andre overskrifter. Legg radene etter henne i ei eiga fil.",
      control_character: ({ character }) => `Cella inneheld teiknet ${character}, som ikkje kan brukast.`,
      misread_cell: ({ shown, intended }) =>
        `«${shown}» skulle vore «${intended}»: UTF-8 er lese som ei anna teiknkoding. Opne originalen som UTF-8, og lagre som CSV UTF-8.`,
      unknown_column: ({ shown, header, closest }) =>
        `«${shown}» står i ein kolonne som ikkje blir lesen: «${header}» er verken ein kjend kolonne eller eit parti i dette valet.${meant(closest)}`,
      number_as_name: ({ shown }) => `Kolonnen er for namn, ikkje for talet «${shown}».`,
      wrong_cell: ({ shown, why }) => `«${shown}» er ${why}.`,
      several_columns_in_cell: ({ shown, head_line }) =>
        `«${shown}» er fleire kolonnar i éi celle. Skil dei som i linje ${head_line}.`,
      misplaced_number: ({ shown }) =>
        `«${shown}» er eit tal i ein kolonne som ikkje er for tal, og rada har ingen andre. Flytt det til rett kolonne.`,
      total_differs: ({ total, first, last, sum }) =>
        `Summen er ${figure(total)}, men linje ${first} til ${last} gir ${figure(sum)}. Rett tala, eller slett linja.`,
      total_of_one_row: ({ total, first, sum }) =>
        `Summen er ${figure(total)}, men linje ${first} gir ${figure(sum)}. Rett tala, eller slett linja.`,
      total_of_no_rows: ({ total, sum }) =>
        `Summen er ${figure(total)}, men det er ingen rader å summere (${figure(sum)}). Rett talet, eller slett linja.`,
      no_unit: () => "Teljestaden manglar.",
      no_category: () => "Kategorien manglar.",
      lost_zeros: ({ shown, units }) =>
        `«${shown}» er ikkje ein teljestad i dette valet. Meinte du ${either(units)}? ${TEXT_FORMAT}`,
      no_figures: ({ status }) =>
        `Teljestaden har statusen «${status}», men ingen tal. Fyll ut tala, eller tøm revisjon og årsak for å utelate teljestaden.`,
      category_repeated: ({ line }) =>
        `Kategorien er ført to gonger for teljestaden; han står i linje ${line} òg.`,
      rows_differ: ({ shown, other, line }) =>
        `Her står «${shown}», men i linje ${line} står «${other}» for same teljestad.`,
      cell_not_a_time: ({ shown, why }) => `«${shown}» er ikkje eit gyldig tidspunkt. ${sentence(why)}`,
      not_whole: ({ shown, why }) =>
        `«${shown}» er ikkje eit heilt tal. ${sentence(why ?? "skriv eit heilt tal")}`,
      out_of_range: ({ shown, least, most }) =>
        `«${shown}» er for stort. Talet skal vere frå ${number(least)} til ${number(most)}.`,
      counted_in_future: ({ time, now }) =>
        `Tidspunktet for teljinga, ${time}, er i framtida. Klokka til mottakstenesta viser ${now}.`,
      counted_long_before: ({ time, date }) =>
        `Tidspunktet for teljinga, ${time}, er meir enn eitt år før valet (${date}).`,
      too_many_versions: ({ count: n, most }) =>
        `Teljestaden har ${count(n, "teljing", "teljingar")} i fila. Høgst ${number(most)} kan sendast samtidig.`,
      revision_unclear: ({ revisions }) =>
        `Teljinga har ingen revisjon, men teljestaden har òg revisjonane ${both(revisions)}. Skriv kva for ein denne er.`,
      members_differ: ({ member, here, there, other }) =>
        `Kolonnen «${member}» har ${given(here)} her, men ${given(there)} i ${other}. Éin teljestad med eitt tidspunkt er éi teljing.`,
      figures_differ: ({ other }) =>
        `Tala er andre enn i ${other}. Er det eine ei nyare teljing, så gi henne eit seinare tidspunkt.`,
      revision_missing: ({ time, other, other_time }) =>
        `Éi av teljingane har ein revisjon, den andre ikkje (${time} her, ${other_time} i ${other}). Gi alle ein revisjon, eller ingen.`,
      revision_order: ({ time, revision, other, other_time, other_revision }) =>
        `Teljinga frå ${time} har revisjon ${revision}, men den tidlegare frå ${other_time} (${other}) har revisjon ` +
        `${other_revision}. Ei seinare teljing skal ha ein høgare revisjon.`,
      category_dropped: ({ time, other, other_time }) =>
        `Kategorien manglar i teljinga frå ${time}, men er med i ei tidlegare frå ${other_time} (${other}). Ei teljing ` +
        "erstattar alle tala for teljestaden: ta med alle kategoriane, med same tidspunkt om det er éi teljing.",
      revision_in_outbox: ({ difference, revision }) =>
        `Teljinga har ${both(difference)} enn den som ligg i utboksen som revisjon ${revision}. Gi rettinga ein høgare revisjon. ${REPLACES}`,
      count_in_outbox: ({ revision }) =>
        `Teljinga er motteken som revisjon ${revision}, men utboksen har ei anna teljing med den revisjonen. Send henne først.`,
      revisions_used: () => "Teljestaden har brukt alle revisjonane sine.",
      category_of_current_dropped: ({ revision, time, next }) =>
        `Kategorien manglar, men er med i den gjeldande teljinga (revisjon ${revision}, talt ${time}). ${REPLACES} Ta med ` +
        `alle kategoriane. Skal ein trekkjast tilbake, så skriv revisjon ${next} og ein årsak.`,
      current_is_later: ({ time, difference, revision, other_time, next }) =>
        `Teljinga frå ${time} har ${both(difference)} enn den nyaste (revisjon ${revision}), som er talt seinare: ` +
        `${other_time}. Er denne likevel nyare, så skriv eit seinare tidspunkt, eller revisjon ${next}. Elles: ta ut teljestaden.`,
      current_at_same_time: ({ time, difference, revision, other_time, next }) =>
        `Teljinga frå ${time} har ${both(difference)} enn den nyaste (revisjon ${revision}), som har same tidspunkt: ` +
        `${other_time}. Er denne nyare, så skriv eit seinare tidspunkt, eller revisjon ${next}. Elles: ta ut teljestaden.`,
      more_contradictions: ({ count: n }) =>
        `… og ${count(n, "teljestad", "teljestader")} til med teljingar som motseier kvarandre.`,
      not_permitted: () => "Tokenet gjeld ikkje denne teljestaden.",
      more_not_permitted: ({ count: n }) =>
        `… og ${count(n, "teljestad", "teljestader")} til som tokenet ikkje gjeld.`,
      current_unreadable: () =>
        "Den gjeldande teljinga for teljestaden kan ikkje lesast. Ta kontakt med valleiinga.",

      read_as: ({ encoding }) => `Teksten er lesen som ${encoding}.`,
      sheet_read: ({ sheet, others }) => `Arket «${sheet}» er lese, men ikkje ${quoted(others)}.`,
      hidden_rows: ({ rows, more: n }) => `Gøymde rader er òg lesne: ${rows.join(", ")}${more(n)}.`,
      hidden_columns: ({ columns, more: n }) =>
        `Gøymde kolonnar er òg lesne: ${columns.join(", ")}${more(n)}.`,
      above_table: ({ texts: each }) => `Står over tabellen og er ikkje lese: ${quoted(each)}.`,
      rows_left_out: ({ lines, more: n }) =>
        `Rader utan tal er utelatne: linje ${lines.join(", ")}${more(n)}.`,
      units_left_out: ({ units, more: n }) =>
        `Teljestader utan tal er utelatne: ${units.join(", ")}${more(n)}.`,
      no_units_left_out: ({ texts: each, more: n }) =>
        `Utelate, for det er ikkje teljestader: ${each.join(", ")}${more(n)}.`,
      total_left_out: () => "Ein sum som stemmer med radene. Han blir ikkje send.",
      totals_left_out: ({ lines, more: n }) =>
        `Summane i linje ${lines.join(", ")}${more(n)} stemmer med radene. Dei blir ikkje sende.`,

      a_null: () => "null",
      a_boolean: () => "true eller false",
      a_number: () => "eit tal",
      a_text: () => "ein tekst",
      a_list: () => "ei liste",
      an_object: () => "eit objekt",
      a_column: ({ meaning }) => `kolonnen «${meaning}»`,
      a_party: ({ meaning }) => `partiet «${meaning}»`,
      commas: () => "komma",
      semicolons: () => "semikolon",
      tabs: () => "tabulator",
      huge_number: () => "eit tal med meir enn 15 siffer",
      cell_error: () => "ein feil frå reknearket. Rett formelen",
      formula: () => "ein formel utan lagra verdi. Lagre fila i reknearket, eller skriv inn verdien",
      a_date: () => "ein dato. Reknearket har endra det som vart skrive inn",
      formatted: () => "Formatet til cella viser eit anna tal. Skriv talet i ei celle utan format.",
      two_readings: ({ joined, whole }) => `Det kan lesast som ${joined} eller ${whole}. Skriv eitt av dei.`,
      not_whole_or_grouped: ({ joined, whole, decimals }) =>
        `Det kan lesast som ${joined} eller som desimaltalet ${whole},${decimals}.`,
      negative: () => "Eit tal på stemmer kan ikkje vere negativt.",
      foreign_digit: ({ character }) => `Det inneheld sifferet ${character}. Bruk 0 til 9.`,
      contains: ({ character }) => `Det inneheld «${character}».`,
      contains_invisible: ({ character }) => `Det inneheld teiknet ${character}.`,
      wrong_groups: () => "Siffera er ikkje i grupper på tre.",
      no_offset: () => `Avstanden til UTC manglar. ${EXAMPLES}`,
      zone_unknown: ({ time }) =>
        `Tidssona for valet er ikkje kjend her. Skriv ${time} med avstanden til UTC, som +02:00.`,
      wrong_year: ({ year }) => `Årstalet er ${year}. ${EXAMPLES}`,
      no_such_time: () => `Datoen eller klokkeslettet finst ikkje. ${EXAMPLES}`,
      day_or_month: () => `Dag og månad kan forvekslast. ${EXAMPLES}`,
      short_year: () => `Årstalet har berre to siffer. ${EXAMPLES}`,
      no_time_of_day: () => `Klokkeslettet manglar. ${EXAMPLES}`,
      other_form: () => EXAMPLES,
      time_occurs_twice: ({ first, second }) =>
        `Klokka vart stilt tilbake, så klokkeslettet finst to gonger. Skriv ${first} eller ${second}.`,
      time_skipped: ({ time, zone, later }) =>
        `Klokka vart stilt fram, så ${time} finst ikkje i ${zone}. Kanskje er det ${later}?`,
      other_figures: () => "andre tal",
      other_member: ({ member, here, there }) =>
        `ein annan «${member}» (${given(here)}, ikkje ${given(there)})`,
      other_time: () => "eit anna tidspunkt",

      sum_mismatch: ({ ballots, votes, blank, sum }) =>
        `Det er ført ${count(ballots, "røystesetel", "røystesetlar")}, men ${count(votes, "partirøyst", "partirøyster")} og ` +
        `${count(blank, "blank", "blanke")} blir ${number(sum)}. Rett det som er feil.`,
      missing_cell: () => "Cella er tom, men skal fyllast ut.",
      unknown_category_cell: ({ shown, closest, known }) =>
        `«${shown}» er ikkje ein kategori i dette valet.${meant(closest)} Kategoriane er ${listed(known)}.`,
      not_a_unit: ({ shown, closest, units, more: n }) =>
        `«${shown}» er eit område med fleire teljestader, og tal blir førte på kvar av dei: ${units.join(", ")}${more(n)}.${meant(closest)}`,
      unknown_unit: ({ shown, closest }) =>
        `«${shown}» er ikkje ein teljestad i dette valet.${meant(closest)}`,
      unknown_status: ({ shown, closest, known }) =>
        `«${shown}» er ikkje ein kjend status.${meant(closest)} Statusane er ${listed(known)}.`,
      unknown_reason: ({ shown, closest, known }) =>
        `«${shown}» er ikkje ein kjend årsak.${meant(closest)} Årsakene er ${listed(known)}.`,
      unknown_category: ({ shown, closest, known }) =>
        `«${shown}» er ikkje ein kategori i dette valet.${meant(closest)} Kategoriane er ${listed(known)}.`,
      unknown_party: ({ shown, closest }) => `«${shown}» er ikkje eit parti i dette valet.${meant(closest)}`,
      party_not_on_ballot: () => "Partiet stiller ikkje til val på denne teljestaden.",
      not_a_count: ({ shown }) => `«${shown}» er ikkje eit heilt tal.`,
      count_out_of_range: ({ shown }) =>
        `${shown} kan ikkje vere rett: talet er negativt eller altfor stort.`,
      revision_out_of_range: ({ shown }) => `${shown} kan ikkje vere ein revisjon. Revisjonar byrjar på 1.`,
      revision_above_ceiling: ({ shown }) =>
        `Revisjon ${shown} er over grensa for teljestaden. Ta kontakt med valleiinga.`,
      not_a_time: ({ shown }) => `«${shown}» er ikkje eit gyldig tidspunkt. ${EXAMPLES}`,
      time_without_offset: ({ shown }) => `«${shown}» manglar avstanden til UTC, som +02:00.`,
      missing_member: () => "Feltet manglar.",
      unknown_member: () => "Feltet er ikkje kjent.",
      repeated_member: () => "Feltet er der to gonger.",
      wrong_type: () => "Verdien er av feil type.",
      null_value: () => "Verdien kan ikkje vere null. Utelat feltet.",
      forbidden_character: () => "Verdien inneheld eit teikn som ikkje kan brukast.",
      more_violations: () => "Det er fleire feil i denne teljinga.",
    },
  };
};
