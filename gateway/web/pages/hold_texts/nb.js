// The texts about held reports in bokmål, from which `HoldTexts` is inferred: every language has the same ones.

/** @import { Sentences } from "../hold_sentences.js" */
/** @import { Figures, Names } from "../texts.js" */
/** @import { Evidence } from "../../push_documents" */

/** @param {Figures} figures */
export const texts = ({ number, signed, noun, count, both, sentence }) => {
  const ballots = (/** @type {number} */ n) => count(n, "stemmeseddel", "stemmesedler");
  const votes = (/** @type {number} */ n) => count(n, "stemme", "stemmer");
  const kinds = /** @type {Names} */ ({ advance: "forhånds", election_day: "valgtings" });
  const kindOf = (/** @type {string} */ category, /** @type {string} */ word) =>
    kinds[category] === undefined
      ? `${word} (${category.replaceAll("_", " ")})`
      : `${kinds[category]}${word}`;
  const votesOf = (/** @type {number} */ n, /** @type {string} */ category) =>
    `${number(n)} ${kindOf(category, noun(n, "stemme", "stemmer"))}`;
  const before = (/** @type {number} */ n) => (n ? ` (${number(n)} før)` : "");
  const fromTo = (/** @type {Evidence} */ e) =>
    `fra ${number(e.before)} til ${number(e.after)} (${signed(e.after - e.before)})`;
  /** @type {Sentences[string]} */
  const duplicate = (e, { place }, unit) => {
    const one = e.ballots === 1;
    const these = one
      ? `denne ene ${kindOf(e.category, "stemmen")} er`
      : `disse ${number(e.ballots)} ${kindOf(e.category, "stemmene")} er`;
    const same = one ? "den samme" : "de samme";
    if (e.other === undefined) return `${these} ${same} som i et område som tokenet ikke dekker`;
    const sameKind = e.category === e.other_category;
    const twice = e.other === unit && sameKind;
    const kind = sameKind ? "" : `${kindOf(e.other_category, "stemmene")} `;
    const where = e.other === unit ? "på samme tellested" : `i ${place(e.other)}`;
    const what = twice ? "tellestedet alt har meldt" : `${kind}${where}`;
    const exactly = e.difference ? ` (til sammen ${votes(e.difference)} i forskjell)` : ", parti for parti";
    return `${these} ${e.difference ? "nesten " : ""}${same} som ${what}${exactly}${twice ? ". Er de talt to ganger?" : ""}`;
  };
  return {
    title: (/** @type {number} */ n) =>
      n ? `${count(n, "melding", "meldinger")} er holdt tilbake` : "Ingen meldinger er holdt tilbake",
    oldest: (/** @type {string} */ age) =>
      `Den eldste har ventet i ${age}. Ring kommunen, og bestem så om tallene skal ut.`,
    mostOpen: (/** @type {number} */ most) =>
      `Grensen på ${number(most)} er nådd: nye meldinger slipper gjennom med bare et varsel.`,
    embargoed: (/** @type {string} */ time) =>
      `Sperrefrist til ${time}: det som frigis, blir offentlig da, og det som ennå er holdt tilbake, venter videre.`,
    closed: "Valget er stengt. Meldinger som er holdt tilbake, kan fortsatt avgjøres.",
    omitted: (/** @type {number} */ n) =>
      `${count(n, "melding", "meldinger")} til er holdt tilbake; listen ville blitt for lang.`,
    stale: (/** @type {string} */ time, /** @type {string} */ age) =>
      `Ikke noe svar om tilbakeholdte meldinger siden ${time} (i ${age}). Det som vises, er fra da.`,
    staleNever: "Får ikke svar om tilbakeholdte meldinger. Siden prøver igjen automatisk.",
    answers: "Tavlen får svar igjen.",
    added: (/** @type {string[]} */ places) => `Holdt tilbake nå: ${both(places)}.`,
    another: (/** @type {string} */ place) =>
      `${place} har sendt en ny versjon, som også er holdt tilbake. Se på den før du bestemmer.`,

    choose: (/** @type {string} */ place) => `Velg ${place}`,
    waits: (/** @type {string} */ age) => `i ${age}`,
    ballots,
    change: (/** @type {number} */ from, /** @type {number} */ to) => `${number(from)} → ${ballots(to)}`,
    sender: (/** @type {number} */ token, /** @type {string} */ note) =>
      `Sendt med token ${token}${note ? ` (${note})` : ""}`,
    receivedAt: (/** @type {string} */ time) => `mottatt ${time}`,
    nowHeld: (/** @type {string[]} */ rules) =>
      `Kom den nå, ville den fortsatt bli holdt tilbake: ${both(rules)}.`,
    nowFree: "Kom den nå, ville ingen regel holde den tilbake.",
    sentence,
    warns: "Bare varsel: ",
    ask: "Spør: ",
    asks: /** @type {Names} */ ({
      duplicate_elsewhere:
        "Er dette deres egne stemmer? Hvilken fil kommer de fra, og hvilken kode ble brukt?",
      duplicate_within: "Er den samme tellingen ført to ganger, eller er stemmene flyttet hit?",
      above_eligible: "Er stemmer fra andre tellesteder tatt med, eller er noe lagt til to ganger?",
      fell: "Hvorfor er det færre stemmer nå? Er de flyttet, talt på nytt eller ført feil?",
      party_excess: "Kan du lese opp partiets tall fra tellelisten? Er det et siffer for mye?",
      exchanged: "Kan du lese opp tallene til begge partiene fra tellelisten? Er linjene byttet om?",
      odd_time: "Når ble dette talt? Er det en prøve eller en gammel fil?",
      exchanged_before: "Hvilke tall er riktige, de forrige eller de nye?",
      party_fell: "Hvorfor har partiet færre stemmer nå?",
      grew_late: "Hvor kommer de nye stemmene fra?",
    }),
    together: (/** @type {string[]} */ places) =>
      `Hører trolig sammen med ${both(places)}, som også er holdt tilbake. Avgjør dem sammen.`,
    chooseTogether: "Velg dem sammen",
    noCurrent: "Tellestedet har ingen melding fra før.",
    colFigure: "Tall",
    colCurrent: "Gjeldende",
    colHeld: "Holdt tilbake",
    colDifference: "Forskjell",
    report: "Melding",
    revision: "Versjon",
    countedAt: "Talt",
    status: "Status",
    reason: "Årsak",
    counts: /** @type {Names} */ ({
      ballots: "Stemmesedler",
      voters: "Velgere",
      blank: "Blanke",
      rejected: "Forkastede",
    }),
    withoutVotes: (/** @type {number} */ n) => `${count(n, "parti", "partier")} har ingen stemmer.`,

    chosen: (/** @type {number} */ n) => `${number(n)} valgt`,
    release: "Frigi …",
    reject: "Underkjenn …",
    unchoose: "Velg bort",
    releaseTitle: (/** @type {number} */ n) => `Frigi ${count(n, "melding", "meldinger")}?`,
    rejectTitle: (/** @type {number} */ n) => `Underkjenn ${count(n, "melding", "meldinger")}?`,
    publishes: (/** @type {number} */ n, /** @type {string} */ place) =>
      `offentliggjør ${ballots(n)} fra ${place} med en gang`,
    publishesLater: (/** @type {number} */ n, /** @type {string} */ place, /** @type {string} */ time) =>
      `${ballots(n)} fra ${place} blir offentlige når sperrefristen er ute (${time})`,
    insteadOf: (/** @type {number} */ n) => ` i stedet for ${number(n)}`,
    neverPublishes: (/** @type {number} */ n, /** @type {string} */ place) =>
      `${ballots(n)} fra ${place} blir aldri offentlige`,
    remains: (/** @type {number} */ n) => `; ${ballots(n)} blir stående`,
    remainsNone: "; tellestedet har fortsatt ingen tall",
    releaseMeans: "Bare avsenderen kan rette det som er frigitt. Det kan ikke trekkes tilbake herfra.",
    rejectMeans: "Avsenderen må sende en ny versjon. Be om den når du ringer.",
    heldFor: (/** @type {string[]} */ rules) => `Holdt tilbake: ${both(rules)}.`,
    allOrNone: "Alle avgjøres samtidig, i denne rekkefølgen, eller ingen.",
    also: (/** @type {string} */ place) => `Ta med ${place} også`,
    gone: (/** @type {string} */ place) =>
      `${place} er ikke lenger holdt tilbake slik du så det. Lukk, og se på nytt.`,
    reasonTitle: "Årsak (blir offentlig)",
    reasonMissing: "Velg en årsak.",
    reasons: /** @type {Names} */ ({
      confirmed: "Avsenderen har bekreftet tallene",
      moved: "Stemmene er flyttet mellom tellesteder",
      rule_too_strict: "Regelen er for streng her",
      duplicate: "Den samme tellingen er meldt to ganger, her eller et annet sted",
      wrong_unit: "Tellingen hører til et annet tellested",
      typing_error: "Tastefeil",
      other: "Noe annet",
    }),
    note: "Merknad (blir aldri offentlig)",
    noteHint: (/** @type {number} */ n) => `Hvem du snakket med, og når. ${count(n, "tegn", "tegn")} igjen.`,
    confirmRelease: (/** @type {number} */ n) => `Frigi ${count(n, "melding", "meldinger")}`,
    confirmReject: (/** @type {number} */ n) => `Underkjenn ${count(n, "melding", "meldinger")}`,
    cancel: "Avbryt",
    close: "Lukk",
    sending: "Sender …",
    trouble: (/** @type {string} */ time) =>
      `Ikke noe svar siden ${time}. Prøver igjen. Det er trygt: ingenting avgjøres to ganger.`,
    stop: "Slutt å prøve",
    unknown: "Det er ukjent om avgjørelsen kom fram. Listen viser det.",
    released: (/** @type {string} */ place, /** @type {string} */ where) => `${place}: frigitt${where}`,
    inRecord: (/** @type {number} */ sequence) => `, nummer ${sequence} i protokollen`,
    atEmbargo: ", offentlig når sperrefristen er ute",
    rejected: (/** @type {string} */ place) => `${place}: underkjent`,
    superseded: (/** @type {string} */ place) => `${place}: erstattet av avsenderen`,
    nothingDecided: "Ingenting er avgjort.",
    refused: (/** @type {number} */ status, /** @type {string} */ detail) =>
      `Tjenesten tok ikke imot avgjørelsen (${status}). ${detail}`,
    conflicts: /** @type {{[code: string]: (place: string, state: string, newest: string) => string}} */ ({
      superseded: (place, _, newest) =>
        `${place}: avsenderen har sendt andre tall${newest ? ` (versjon ${newest})` : ""}`,
      decided_otherwise: (place, state) => `${place}: allerede avgjort${state ? ` (${state})` : ""}`,
      not_held: (place) => `${place}: er ikke holdt tilbake`,
      revision_conflict: (place) => `${place}: har andre tall enn dem som ble vist her`,
    }),
    states: /** @type {Names} */ ({
      open: "holdt tilbake",
      released: "frigitt",
      rejected: "underkjent",
      superseded: "erstattet",
    }),
    endedTitle: "Tidligere avgjørelser",
    endedNone: "Ingenting er avgjort ennå.",
    endedOmitted: (/** @type {number} */ n) => `og ${count(n, "eldre", "eldre")}`,
    by: (/** @type {number} */ token, /** @type {string} */ note) =>
      `token ${token}${note ? ` (${note})` : ""}`,

    rulesTitle: "Regler",
    rulesWhy: "Reglene kan bare endres med en kommando, og bare for meldinger som kommer etterpå.",
    rulesOrigin: "Slik de var da valget ble lagt inn.",
    rulesChanged: (/** @type {string} */ time, /** @type {string} */ by) => `Sist endret ${time}, ${by}.`,
    rulesUnread: "Reglene er ikke lest ennå.",
    rulesMost: (/** @type {number} */ n) =>
      `Når ${count(n, "melding", "meldinger")} er holdt tilbake, varsler reglene bare.`,
    colRule: "Regel",
    colDoes: "Gjør",
    colThresholds: "Grenser",
    does: /** @type {Names} */ ({ hold: "holder tilbake", warn: "varsler", off: "er slått av" }),
    rulesCommands: "Se og endre reglene",
    rules: /** @type {Names} */ ({
      duplicate_elsewhere: "samme tall som i en annen kommune",
      duplicate_within: "samme tall to ganger i kommunen",
      above_eligible: "flere stemmer enn stemmeberettigede",
      fell: "færre stemmer enn før",
      party_excess: "uvanlig mange stemmer til et parti",
      exchanged: "to partier har byttet tall",
      odd_time: "talt lenge før valget",
      exchanged_before: "to partier har byttet tall siden sist",
      party_fell: "et parti har færre stemmer enn før",
      grew_late: "et ferdig tellested har vokst",
      not_judged: "en regel kunne ikke vurdere meldingen",
    }),

    sentences: /** @type {Sentences} */ ({
      duplicate_elsewhere: duplicate,
      duplicate_within: duplicate,
      above_eligible(e, { area }) {
        const voters = count(e.eligible, "stemmeberettiget", "stemmeberettigede");
        const where = e.of_unit ? "tellestedet" : area(e.area);
        return e.after === undefined
          ? `med denne meldingen får ${where} flere stemmesedler enn sine ${voters}`
          : `med denne meldingen får ${where} ${ballots(e.after)}${before(e.before)}, men har bare ${voters}`;
      },
      fell(e, { area }) {
        const fall = `stemmesedlene går ned ${fromTo(e)} uten oppgitt årsak`;
        return e.municipality === undefined
          ? fall
          : `${fall}; ${area(e.municipality)} hadde ${ballots(e.municipality_ballots)} i alt`;
      },
      party_excess(e, { area }) {
        const has = `${e.party} har ${votesOf(e.after, e.category)}${before(e.before)}`;
        return e.expected === undefined
          ? `${has}, langt flere enn ventet`
          : `${has}; de andre tellestedene i ${area(e.reference)} tilsier omtrent ${number(e.expected)}`;
      },
      exchanged(e, { area }) {
        const text = `${e.more} og ${e.fewer} ser ut til å ha fått hverandres ${kindOf(e.category, "stemmer")}: `;
        const [more, fewer] = [`${e.more} ${number(e.more_votes)}`, `${e.fewer} ${number(e.fewer_votes)}`];
        return e.reference === undefined
          ? `${text}${more}, ${fewer}`
          : `${text}${more} (omtrent ${number(e.more_expected)} ventet), ${fewer} ` +
              `(omtrent ${number(e.fewer_expected)} ventet), ut fra de andre tellestedene i ${area(e.reference)}`;
      },
      odd_time: (e, { moment, date }) =>
        `talt ${moment(e.counted_at)}, ${count(e.days, "dag", "dager")} før valget (${date(e.date)})`,
      exchanged_before: (e) =>
        `sammenlignet med gjeldende melding har to partier byttet ${kindOf(e.category, "stemmer")}: ` +
        `${e.one} fra ${number(e.one_before)} til ${number(e.one_after)}, ` +
        `${e.other} fra ${number(e.other_before)} til ${number(e.other_after)}`,
      party_fell(e, { area }) {
        const fall = `stemmene til ${e.party} går ned ${fromTo(e)}`;
        return e.municipality === undefined
          ? fall
          : `${fall}; i ${area(e.municipality)} hadde partiet ${votes(e.municipality_votes)} i alt`;
      },
      grew_late: (e, { status }) =>
        `gjeldende melding har statusen «${status(e.status)}», og stemmesedlene går opp ${fromTo(e)}`,
    }),
  };
};
