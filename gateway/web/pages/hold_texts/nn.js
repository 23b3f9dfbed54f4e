// The texts about held reports in nynorsk.

/** @import { Sentences } from "../hold_sentences.js" */
/** @import { HoldTexts } from "../hold_texts.js" */
/** @import { Figures, Names } from "../texts.js" */
/** @import { Evidence } from "../../push_documents" */

/**
 * @param {Figures} figures
 * @returns {HoldTexts}
 */
export const texts = ({ number, signed, noun, count, both, sentence }) => {
  const ballots = (/** @type {number} */ n) => count(n, "røystesetel", "røystesetlar");
  const votes = (/** @type {number} */ n) => count(n, "røyst", "røyster");
  const kinds = /** @type {Names} */ ({ advance: "førehands", election_day: "valtings" });
  const kindOf = (/** @type {string} */ category, /** @type {string} */ word) =>
    kinds[category] === undefined
      ? `${word} (${category.replaceAll("_", " ")})`
      : `${kinds[category]}${word}`;
  const votesOf = (/** @type {number} */ n, /** @type {string} */ category) =>
    `${number(n)} ${kindOf(category, noun(n, "røyst", "røyster"))}`;
  const before = (/** @type {number} */ n) => (n ? ` (${number(n)} før)` : "");
  const fromTo = (/** @type {Evidence} */ e) =>
    `frå ${number(e.before)} til ${number(e.after)} (${signed(e.after - e.before)})`;
  /** @type {Sentences[string]} */
  const duplicate = (e, { place }, unit) => {
    const one = e.ballots === 1;
    const these = one
      ? `denne eine ${kindOf(e.category, "røysta")} er`
      : `desse ${number(e.ballots)} ${kindOf(e.category, "røystene")} er`;
    const same = one ? "den same" : "dei same";
    if (e.other === undefined) return `${these} ${same} som i eit område som tokenet ikkje dekkjer`;
    const sameKind = e.category === e.other_category;
    const twice = e.other === unit && sameKind;
    const kind = sameKind ? "" : `${kindOf(e.other_category, "røystene")} `;
    const where = e.other === unit ? "på same teljestaden" : `i ${place(e.other)}`;
    const what = twice ? "teljestaden alt har meldt" : `${kind}${where}`;
    const exactly = e.difference ? ` (til saman ${votes(e.difference)} i skilnad)` : ", parti for parti";
    return `${these} ${e.difference ? "nesten " : ""}${same} som ${what}${exactly}${twice ? ". Er dei talde to gonger?" : ""}`;
  };
  return {
    title: (n) =>
      n
        ? `${count(n, "melding er halden", "meldingar er haldne")} tilbake`
        : "Ingen meldingar er haldne tilbake",
    oldest: (age) => `Den eldste har venta i ${age}. Ring kommunen, og avgjer så om tala skal ut.`,
    mostOpen: (most) =>
      `Grensa på ${number(most)} er nådd: nye meldingar slepp gjennom med berre eit varsel.`,
    embargoed: (time) =>
      `Sperrefrist til ${time}: det som blir frigjeve, blir offentleg då, og det som enno er halde tilbake, ventar vidare.`,
    closed: "Valet er stengt. Meldingar som er haldne tilbake, kan framleis avgjerast.",
    omitted: (n) =>
      `${count(n, "melding til er halden", "meldingar til er haldne")} tilbake; lista ville vorte for lang.`,
    stale: (time, age) =>
      `Ikkje noko svar om tilbakehaldne meldingar sidan ${time} (i ${age}). Det som er vist, er frå då.`,
    staleNever: "Får ikkje svar om tilbakehaldne meldingar. Sida prøver igjen automatisk.",
    answers: "Tavla får svar igjen.",
    added: (places) => `Haldne tilbake no: ${both(places)}.`,
    another: (place) =>
      `${place} har sendt ein ny versjon, som òg er halden tilbake. Sjå på han før du avgjer noko.`,

    choose: (place) => `Vel ${place}`,
    waits: (age) => `i ${age}`,
    ballots,
    change: (from, to) => `${number(from)} → ${ballots(to)}`,
    sender: (token, note) => `Send med token ${token}${note ? ` (${note})` : ""}`,
    receivedAt: (time) => `motteken ${time}`,
    nowHeld: (rules) => `Kom ho no, ville ho framleis bli halden tilbake: ${both(rules)}.`,
    nowFree: "Kom ho no, ville ingen regel halde ho tilbake.",
    sentence,
    warns: "Berre varsel: ",
    ask: "Spør: ",
    asks: {
      duplicate_elsewhere: "Er dette dykkar eigne røyster? Kva fil kjem dei frå, og kva kode vart brukt?",
      duplicate_within: "Er den same teljinga ført to gonger, eller er røystene flytte hit?",
      above_eligible: "Er røyster frå andre teljestader tekne med, eller er noko lagt til to gonger?",
      fell: "Kvifor er det færre røyster no? Er dei flytte, talde på nytt eller førte feil?",
      party_excess: "Kan du lese opp talet til partiet frå teljelista? Er det eit siffer for mykje?",
      exchanged: "Kan du lese opp tala til begge partia frå teljelista? Er linjene bytte om?",
      odd_time: "Når vart dette talt? Er det ei prøve eller ei gammal fil?",
      exchanged_before: "Kva tal er rette, dei førre eller dei nye?",
      party_fell: "Kvifor har partiet færre røyster no?",
      grew_late: "Kvar kjem dei nye røystene frå?",
    },
    together: (places) =>
      `Høyrer truleg saman med ${both(places)}, som òg er ${noun(places.length, "halden", "haldne")} tilbake. Avgjer dei saman.`,
    chooseTogether: "Vel dei saman",
    noCurrent: "Teljestaden har inga melding frå før.",
    colFigure: "Tal",
    colCurrent: "Gjeldande",
    colHeld: "Halden tilbake",
    colDifference: "Skilnad",
    report: "Melding",
    revision: "Versjon",
    countedAt: "Tald",
    status: "Status",
    reason: "Årsak",
    counts: { ballots: "Røystesetlar", voters: "Veljarar", blank: "Blanke", rejected: "Forkasta" },
    withoutVotes: (n) => `${count(n, "parti", "parti")} har ingen røyster.`,

    chosen: (n) => count(n, "vald", "valde"),
    release: "Frigi …",
    reject: "Underkjenn …",
    unchoose: "Vel bort",
    releaseTitle: (n) => `Frigi ${count(n, "melding", "meldingar")}?`,
    rejectTitle: (n) => `Underkjenn ${count(n, "melding", "meldingar")}?`,
    publishes: (n, place) => `offentleggjer ${ballots(n)} frå ${place} med ein gong`,
    publishesLater: (n, place, time) =>
      `${ballots(n)} frå ${place} blir offentlege når sperrefristen er ute (${time})`,
    insteadOf: (n) => ` i staden for ${number(n)}`,
    neverPublishes: (n, place) => `${ballots(n)} frå ${place} blir aldri offentlege`,
    remains: (n) => `; ${ballots(n)} blir ståande`,
    remainsNone: "; teljestaden har framleis ingen tal",
    releaseMeans: "Berre avsendaren kan rette det som er frigjeve. Det kan ikkje trekkjast tilbake herifrå.",
    rejectMeans: "Avsendaren må sende ein ny versjon. Be om han når du ringjer.",
    heldFor: (rules) => `Halden tilbake: ${both(rules)}.`,
    allOrNone: "Alle blir avgjorde samstundes, i denne rekkjefølgja, eller ingen.",
    also: (place) => `Ta med ${place} òg`,
    gone: (place) => `${place} er ikkje lenger halden tilbake slik du såg det. Lukk, og sjå på nytt.`,
    reasonTitle: "Årsak (blir offentleg)",
    reasonMissing: "Vel ei årsak.",
    reasons: {
      confirmed: "Avsendaren har stadfesta tala",
      moved: "Røystene er flytte mellom teljestader",
      rule_too_strict: "Regelen er for streng her",
      duplicate: "Den same teljinga er meld to gonger, her eller ein annan stad",
      wrong_unit: "Teljinga høyrer til ein annan teljestad",
      typing_error: "Tastefeil",
      other: "Noko anna",
    },
    note: "Merknad (blir aldri offentleg)",
    noteHint: (n) => `Kven du snakka med, og når. ${count(n, "teikn", "teikn")} att.`,
    confirmRelease: (n) => `Frigi ${count(n, "melding", "meldingar")}`,
    confirmReject: (n) => `Underkjenn ${count(n, "melding", "meldingar")}`,
    cancel: "Avbryt",
    close: "Lukk",
    sending: "Sender …",
    trouble: (time) =>
      `Ikkje noko svar sidan ${time}. Prøver igjen. Det er trygt: ingenting blir avgjort to gonger.`,
    stop: "Slutt å prøve",
    unknown: "Det er ukjent om avgjerda kom fram. Lista viser det.",
    released: (place, where) => `${place}: frigjeven${where}`,
    inRecord: (sequence) => `, nummer ${sequence} i protokollen`,
    atEmbargo: ", offentleg når sperrefristen er ute",
    rejected: (place) => `${place}: underkjend`,
    superseded: (place) => `${place}: erstatta av avsendaren`,
    nothingDecided: "Ingenting er avgjort.",
    refused: (status, detail) => `Tenesta tok ikkje imot avgjerda (${status}). ${detail}`,
    conflicts: {
      superseded: (place, _, newest) =>
        `${place}: avsendaren har sendt andre tal${newest ? ` (versjon ${newest})` : ""}`,
      decided_otherwise: (place, state) => `${place}: alt avgjord${state ? ` (${state})` : ""}`,
      not_held: (place) => `${place}: er ikkje halden tilbake`,
      revision_conflict: (place) => `${place}: har andre tal enn dei som vart viste her`,
    },
    states: {
      open: "halden tilbake",
      released: "frigjeven",
      rejected: "underkjend",
      superseded: "erstatta",
    },
    endedTitle: "Tidlegare avgjerder",
    endedNone: "Ingenting er avgjort enno.",
    endedOmitted: (n) => `og ${count(n, "eldre", "eldre")}`,
    by: (token, note) => `token ${token}${note ? ` (${note})` : ""}`,

    rulesTitle: "Reglar",
    rulesWhy: "Reglane kan berre endrast med ein kommando, og berre for meldingar som kjem etterpå.",
    rulesOrigin: "Slik dei var då valet vart lagt inn.",
    rulesChanged: (time, by) => `Sist endra ${time}, ${by}.`,
    rulesUnread: "Reglane er ikkje lesne enno.",
    rulesMost: (n) =>
      `Når ${count(n, "melding er halden", "meldingar er haldne")} tilbake, varslar reglane berre.`,
    colRule: "Regel",
    colDoes: "Gjer",
    colThresholds: "Grenser",
    does: { hold: "held tilbake", warn: "varslar", off: "er slått av" },
    rulesCommands: "Sjå og endre reglane",
    rules: {
      duplicate_elsewhere: "same tal som i ein annan kommune",
      duplicate_within: "same tal to gonger i kommunen",
      above_eligible: "fleire røyster enn røysteføre",
      fell: "færre røyster enn før",
      party_excess: "uvanleg mange røyster til eit parti",
      exchanged: "to parti har bytt tal",
      odd_time: "tald lenge før valet",
      exchanged_before: "to parti har bytt tal sidan sist",
      party_fell: "eit parti har færre røyster enn før",
      grew_late: "ein ferdig teljestad har vakse",
      not_judged: "ein regel kunne ikkje vurdere meldinga",
    },

    sentences: {
      duplicate_elsewhere: duplicate,
      duplicate_within: duplicate,
      above_eligible(e, { area }) {
        const voters = `${number(e.eligible)} med røysterett`;
        const where = e.of_unit ? "teljestaden" : area(e.area);
        return e.after === undefined
          ? `med denne meldinga får ${where} fleire røystesetlar enn sine ${voters}`
          : `med denne meldinga får ${where} ${ballots(e.after)}${before(e.before)}, men har berre ${voters}`;
      },
      fell(e, { area }) {
        const fall = `røystesetlane går ned ${fromTo(e)} utan oppgjeven årsak`;
        return e.municipality === undefined
          ? fall
          : `${fall}; ${area(e.municipality)} hadde ${ballots(e.municipality_ballots)} i alt`;
      },
      party_excess(e, { area }) {
        const has = `${e.party} har ${votesOf(e.after, e.category)}${before(e.before)}`;
        return e.expected === undefined
          ? `${has}, langt fleire enn venta`
          : `${has}; dei andre teljestadene i ${area(e.reference)} tilseier omtrent ${number(e.expected)}`;
      },
      exchanged(e, { area }) {
        const text = `${e.more} og ${e.fewer} ser ut til å ha fått ${kindOf(e.category, "røystene")} til kvarandre: `;
        const [more, fewer] = [`${e.more} ${number(e.more_votes)}`, `${e.fewer} ${number(e.fewer_votes)}`];
        return e.reference === undefined
          ? `${text}${more}, ${fewer}`
          : `${text}${more} (omtrent ${number(e.more_expected)} venta), ${fewer} ` +
              `(omtrent ${number(e.fewer_expected)} venta), ut frå dei andre teljestadene i ${area(e.reference)}`;
      },
      odd_time: (e, { moment, date }) =>
        `tald ${moment(e.counted_at)}, ${count(e.days, "dag", "dagar")} før valet (${date(e.date)})`,
      exchanged_before: (e) =>
        `samanlikna med den gjeldande meldinga har to parti bytt ${kindOf(e.category, "røyster")}: ` +
        `${e.one} frå ${number(e.one_before)} til ${number(e.one_after)}, ` +
        `${e.other} frå ${number(e.other_before)} til ${number(e.other_after)}`,
      party_fell(e, { area }) {
        const fall = `røystene til ${e.party} går ned ${fromTo(e)}`;
        return e.municipality === undefined
          ? fall
          : `${fall}; i ${area(e.municipality)} hadde partiet ${votes(e.municipality_votes)} i alt`;
      },
      grew_late: (e, { status }) =>
        `den gjeldande meldinga har statusen «${status(e.status)}», og røystesetlane går opp ${fromTo(e)}`,
    },
  };
};
