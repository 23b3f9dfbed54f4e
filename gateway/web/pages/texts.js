// All texts of the pages, in both languages. A text that depends on figures is a function. Counts are passed
// as numbers and formatted here, since the noun follows the number; times, durations and shares are passed as
// formatted texts.

/** Locales by language. */
export const LOCALES = { nb: "nb-NO", en: "en-GB" };

/**
 * @typedef {object} Figures
 * @property {(n: number) => string} number a number as the language writes it
 * @property {(n: number, one: string, other: string) => string} noun one of two forms of a noun
 * @property {(n: number, one: string, other: string) => string} count a number and noun: "1 vote", "2 votes"
 * @property {(n: number, once: string, other: string) => string} times how often: "once", "2 times"
 */

/**
 * @param {string} locale
 * @returns {Figures}
 */
function figures(locale) {
  const rules = new Intl.PluralRules(locale);
  const { format } = new Intl.NumberFormat(locale);
  /** @type {Figures["noun"]} */
  const noun = (n, one, other) => (rules.select(n) === "one" ? one : other);
  return {
    number: format,
    noun,
    count: (n, one, other) => `${format(n)} ${noun(n, one, other)}`,
    times: (n, once, other) => (n === 1 ? once : `${format(n)} ${other}`),
  };
}

/** @typedef {{[key: string]: string}} Names texts by a code; one that is missing is shown as its code */

/** @param {Figures} figures */
const norwegian = ({ number, noun, count, times }) => ({
  otherLanguage: "English",
  skip: "Hopp til innholdet",
  nav: "Sider",
  results: "Resultater",
  transfers: "Overføringer",
  api: "API",
  countPage: "Send inn tellinger",
  election: "Valg",
  crumbs: "Overordnede områder",
  contents: "Innhold",
  search: "Søk etter sted",
  show: "Vis",
  more: "Vis flere",
  showAll: (/** @type {number} */ n) => `Vis alle ${number(n)}`,
  rehearsal: "ØVELSE. Tallene er ikke ekte resultater.",
  foot:
    "Siden leser den åpne resultatstrømmen, den samme som alle kan lese. " +
    "Tallene er alltid summen av det tellestedene har meldt inn.",

  noElection: "Det er ikke lagt inn noe valg ennå.",
  unknownElection: (/** @type {string} */ id) => `Valget «${id}» finnes ikke her.`,
  noAnswer: "Tjenesten svarer ikke. Siden prøver igjen automatisk.",
  live: "Direkte",
  connecting: "Kobler til …",
  lost: (/** @type {string} */ time, /** @type {string} */ duration) =>
    `Forbindelsen har vært brutt siden ${time} (i ${duration}). Kobler til igjen automatisk.`,
  announceLost: "Forbindelsen er brutt. Siden kobler til igjen automatisk.",
  announceRestored: "Forbindelsen er gjenopprettet.",
  published: (/** @type {string} */ ago) => `Sist publisert for ${ago} siden`,
  nothingPublished: "Ingenting er publisert ennå",
  lag: (/** @type {string} */ duration) => `${duration} fra publisering til skjerm`,
  silentFor: (/** @type {string} */ duration) => `ingenting mottatt på ${duration}`,
  dataAge: (/** @type {string} */ time, /** @type {string} */ duration) =>
    `tallene er fra ${time}, for ${duration} siden`,

  embargoTitle: "Resultatene offentliggjøres om",
  embargoUntil: (/** @type {string} */ time) =>
    `Klokken ${time}. Fram til da står alle tall på null, og ingenting av det som er meldt inn, vises.`,
  embargoNow: "Resultatene offentliggjøres nå …",
  announceReleased: "Resultatene er offentliggjort.",
  announceCounted: (/** @type {string} */ share) => `${share} av tellestedene har tall.`,

  unitsCounted: "Tellesteder med tall",
  ofUnits: (/** @type {number} */ n, /** @type {string} */ share) => `av ${number(n)} · ${share}`,
  turnout: "Valgdeltakelse så langt",
  ofEligible: (/** @type {number} */ ballots, /** @type {number} */ eligible) =>
    `${count(ballots, "stemmeseddel", "stemmesedler")} · ` +
    count(eligible, "stemmeberettiget", "stemmeberettigede"),
  votesCounted: "Godkjente stemmer",
  besides: (/** @type {number} */ blank, /** @type {number} */ rejected) =>
    `${count(blank, "blank", "blanke")} · ${count(rejected, "forkastet", "forkastede")}`,
  sharesTitle: "Oppslutning",
  noVotes: "Ingen stemmer er talt opp ennå.",
  others: "Andre",
  parties: (/** @type {number} */ n) => count(n, "parti", "partier"),
  votes: (/** @type {number} */ n) => count(n, "stemme", "stemmer"),
  allParties: "Vis alle partier",
  fewerParties: "Vis færre partier",

  correctionsTitle: (/** @type {number} */ n) => count(n, "rettelse", "rettelser"),
  correctionsWhy:
    "Når et tall går ned, har kommunen rettet det. Her er den siste rettelsen fra hver kommune, med årsak:",
  fell: (/** @type {number} */ n) => `Antall stemmesedler gikk ned med ${number(n)}`,
  moved: "Stemmer ble flyttet mellom partier; antall stemmesedler er uendret",
  movedAndRose: (/** @type {number} */ n) =>
    `Stemmer ble flyttet mellom partier; antall stemmesedler økte med ${number(n)}`,
  before: (/** @type {number} */ n) => `Rettet; ${count(n, "stemmeseddel", "stemmesedler")} før rettelsen`,
  reasons: /** @type {Names} */ ({
    recount: "ny opptelling",
    revoked: "trukket tilbake",
    late_ballots: "sent innkomne stemmesedler",
    booking_error: "føringsfeil",
    control: "kontroll",
    other: "annen årsak",
  }),
  noReason: "ingen årsak oppgitt",

  tilesTitle: "Kommunene",
  tilesBy: "Fargelegg etter",
  byLeader: "Største parti",
  byCounted: "Andel talt opp",
  tileHint: "Hver rute er en kommune. Pek på en rute, eller bruk piltastene.",
  mapHint: "Hvert område på kartet er en kommune. Pek på et område, eller bruk piltastene.",
  noneYet: "ingen tall ennå",
  legendCounted: "Fra 0 % til 100 % av tellestedene har tall",
  tile: (/** @type {string} */ name, /** @type {string} */ county) => `${name}, ${county}`,
  tileCounted: (/** @type {number} */ n, /** @type {number} */ total) =>
    `tall fra ${number(n)} av ${count(total, "tellested", "tellesteder")}`,
  tileLeads: (/** @type {string} */ party, /** @type {string} */ share) => `${party} er størst med ${share}`,

  areasTitle: "Fylker og kommuner",
  areasCaption:
    "Fylker og kommuner med antall tellesteder som har tall, valgdeltakelse og største partier. " +
    "Kolonneoverskriftene sorterer tabellen.",
  levelAll: "Alle områder",
  levels: /** @type {Names} */ ({
    country: "Land",
    county: "Fylker",
    municipality: "Kommuner",
    precinct: "Tellesteder",
  }),
  matches: (/** @type {number} */ n, /** @type {number} */ total) =>
    `${number(n)} av ${count(total, "område", "områder")}`,
  colName: "Sted",
  colCounted: "Talt",
  colTurnout: "Valgdeltakelse",
  colBallots: "Stemmesedler",
  colFirst: "Størst",
  colSecond: "Nest størst",
  colCorrections: "Rettelser",
  colUpdated: "Oppdatert",
  colStatus: "Status",
  colRevision: "Versjon",
  colReason: "Årsak",
  colTime: "Tidspunkt",
  colChange: "Endring",
  colUnit: "Tellested",
  colSequence: "Nr.",
  statuses: /** @type {Names} */ ({
    no_report: "ingen melding",
    not_counted: "ikke talt",
    counting: "telles",
    preliminary: "foreløpig",
    final: "endelig",
    controlled: "kontrollert",
    settled: "avgjort",
    counted_elsewhere: "telt et annet sted",
    unstated: "uten status",
  }),
  childrenTitle: /** @type {Names} */ ({
    county: "Fylker",
    municipality: "Kommuner",
    precinct: "Tellesteder",
  }),
  childrenOther: "Områder",
  childrenCaption: "Områdene rett under dette. Kolonneoverskriftene sorterer tabellen.",
  unknownArea: (/** @type {string} */ id) => `Området «${id}» finnes ikke i dette valget.`,
  backToAll: "Hele landet",
  areaUnit: (/** @type {string} */ parent) => `Tellested · ${parent}`,
  areaLevel: /** @type {Names} */ ({ country: "Land", county: "Fylke", municipality: "Kommune" }),
  areaId: (/** @type {string} */ id) => `ID ${id}`,
  updatedAt: (/** @type {string} */ time) => `oppdatert ${time}`,

  historyTitle: "Slik kom tallene inn",
  historyTable: "Alle publiseringer",
  historyCaption: "Publiseringer for dette området, nyeste først",
  historyReading: (/** @type {string} */ share) => `Henter historikken … ${share}`,
  historyNone: "Ingenting er publisert herfra ennå.",
  historySome: (/** @type {number} */ n, /** @type {string} */ first, /** @type {string} */ last) =>
    n === 1 ? `1 publisering, ${first}` : `${number(n)} publiseringer fra ${first} til ${last}`,
  historyFailed: "Historikken kan ikke hentes akkurat nå. Siden prøver igjen.",
  plotLabel: (
    /** @type {number} */ n,
    /** @type {string} */ from,
    /** @type {string} */ to,
    /** @type {number} */ ballots,
    /** @type {number} */ falls,
  ) =>
    `Stemmesedler over tid: ${count(n, "publisering", "publiseringer")} fra ${from} til ${to}, ` +
    `nå ${number(ballots)}; gikk ${falls === 0 ? "aldri ned" : `ned ${times(falls, "én gang", "ganger")}`}.`,

  throughTitle: "Er alle tellinger framme?",
  sentenceThrough: (/** @type {number} */ n) =>
    `Alle tellinger som er mottatt fra ${n === 1 ? "kommunen" : `de ${number(n)} kommunene`}, er framme.`,
  sentenceSomeThrough: (/** @type {number} */ n, /** @type {number} */ total) =>
    `Alle tellinger som er mottatt fra ${number(n)} av ${count(total, "kommune", "kommuner")}, er framme.`,
  sentenceSlowest: (/** @type {string} */ name, /** @type {string} */ duration) =>
    ` Tregest de siste ti minuttene: ${name}, ${duration}.`,
  sentenceNothing: "Ingen tellinger er mottatt ennå.",
  sentenceWaits: (/** @type {number} */ n, /** @type {string} */ name, /** @type {string} */ duration) =>
    `${count(n, "telling", "tellinger")} fra ${name} har ventet i ${duration}.`,
  sentenceMoreWait: (/** @type {number} */ n) =>
    ` ${count(n, "annen kommune", "andre kommuner")} venter også.`,
  sentenceEmbargo: (/** @type {string} */ left) =>
    `Resultatene offentliggjøres om ${left}. Ingenting av det kommunene har sendt inn, vises før det.`,
  sentenceEmbargoOwn: (/** @type {number} */ n, /** @type {number} */ counts) =>
    `${count(n, "kommune", "kommuner")} venter på at resultatene offentliggjøres, med ` +
    `${count(counts, "mottatt telling", "mottatte tellinger")}.`,
  sentenceReleasing: "Resultatene offentliggjøres nå …",
  sentenceUnknown: (/** @type {string} */ time) => `Ukjent tilstand: ikke noe svar etter klokken ${time}.`,
  sentenceReading: "Henter …",

  totalsUnits: "Tellesteder med tall",
  totalsAccepted: "Mottatt",
  totalsPublished: "Publisert",
  totalsDelivered: "Levert til denne siden",
  totalsWaiting: "Venter",
  totalsOf: (/** @type {number} */ n) => `av ${count(n, "tellested", "tellesteder")}`,
  totalsReports: (/** @type {number} */ n) => noun(n, "melding", "meldinger"),
  totalsOldest: (/** @type {string} */ duration) => `eldste har ventet ${duration}`,
  totalsNone: "ingenting venter",
  totalsToCome: (/** @type {number} */ n) => `${number(n)} gjenstår`,
  stripTitle: "Natten så langt",
  stripWhy:
    "Den lengste tiden en telling har brukt fra publisering til denne skjermen, eller har ventet på " +
    "publisering, etter at siden ble åpnet. Jo høyere og rødere, desto senere.",
  stripLabel: (/** @type {string} */ duration, /** @type {string} */ time) =>
    `Tregest etter at siden ble åpnet: ${duration}, klokken ${time}.`,
  stripEmpty: "Ingenting er målt ennå.",

  listTitle: "Kommune for kommune",
  listCaption: "Hvor langt tellingene fra hver kommune er kommet. Kolonneoverskriftene sorterer tabellen.",
  whichAll: "Alle",
  whichWaiting: "Venter på publisering",
  whichIncomplete: "Mangler tellesteder",
  whichSilent: "Har aldri vært i kontakt",
  colToCome: "Gjenstår",
  colAccepted: "Mottatt",
  colPublished: "Publisert",
  colDelivered: "Tellesteder levert",
  colOldest: "Eldste som venter",
  colContact: "Sist i kontakt",
  colLag: "Forsinkelse",
  colLagTail: "Tregeste 1\u00a0%",
  colEmbargoed: "Under sperrefrist",
  colLast: "Sist mottatt",
  never: "aldri",
  agoShort: (/** @type {string} */ duration) => `${duration} siden`,
  wordsTitle: "Hva ordene betyr",
  words: [
    ["Gjenstår", "Tellesteder som ennå ikke har fått publisert noen melding."],
    ["Mottatt", "Meldinger som er lagret trygt og kvittert for."],
    ["Publisert", "Meldinger som er offentliggjort og åpne for alle."],
    ["Tellesteder levert", "Tellesteder som har nådd denne siden gjennom resultatstrømmen."],
    [
      "Eldste som venter",
      "Alderen på den eldste meldingen som er mottatt og skulle vært publisert, men som ikke er det ennå.",
    ],
    [
      "Forsinkelse",
      "Tiden fra en melding er publisert til den er sendt til leserne. Halvparten går raskere enn dette.",
    ],
    ["Tregeste 1\u00a0%", "99 av 100 meldinger er sendt til leserne raskere enn dette."],
  ],

  ownTitle: "For kommuner: se egne tellinger",
  ownWhy:
    "Før resultatene offentliggjøres, kan en kommune se sine egne tellinger med tokenet sitt. Tokenet ligger " +
    "bare i minnet på denne siden, lagres aldri og sendes bare til mottakstjenesten.",
  ownToken: "Token",
  ownShow: "Vis mine tellinger",
  ownForget: "Glem tokenet",
  ownElsewhere: (/** @type {string} */ origin) =>
    `Nettleseren kan bare hente data fra sidens egen adresse, ikke fra ${origin}. Gjør mottakstjenesten ` +
    "tilgjengelig på samme adresse med en omvendt proxy, for eksempel under /push, og åpne siden med " +
    "?push=/push.",
  ownNoPush:
    "Siden kjenner ikke adressen til mottakstjenesten. Åpne siden med ?push=/push hvis en omvendt proxy " +
    "gjør tjenesten tilgjengelig på samme adresse, eller spør direkte: " +
    'curl -H "Authorization: Bearer …" MOTTAKSTJENESTEN/v1/elections/VALGET/transfers',
  ownRefused: "Tokenet er ikke gyldig for dette valget.",
  ownUnreachable: "Mottakstjenesten svarer ikke.",
  ownFailed: (/** @type {number} */ status) => `Uventet svar fra mottakstjenesten (${status}).`,
  ownUpdated: (/** @type {string} */ time) => `Oppdatert ${time}.`,
});

/** @typedef {ReturnType<typeof norwegian>} Texts */

/** @type {(figures: Figures) => Texts} */
const english = ({ number, noun, count, times }) => ({
  otherLanguage: "Norsk",
  skip: "Skip to content",
  nav: "Pages",
  results: "Results",
  transfers: "Transfers",
  api: "API",
  countPage: "Report counts",
  election: "Election",
  crumbs: "Areas above this one",
  contents: "Contents",
  search: "Search for a place",
  show: "Show",
  more: "Show more",
  showAll: (n) => `Show all ${number(n)}`,
  rehearsal: "REHEARSAL. These figures are not real results.",
  foot:
    "This page reads the open results feed, the same one that everyone can read. " +
    "Figures are always the sum of what the counting units have reported.",

  noElection: "No election has been loaded yet.",
  unknownElection: (id) => `There is no election “${id}” here.`,
  noAnswer: "The service is not responding. This page will keep trying.",
  live: "Live",
  connecting: "Connecting …",
  lost: (time, duration) => `Connection lost at ${time} (${duration} ago). Reconnecting automatically.`,
  announceLost: "The connection is lost. The page is reconnecting automatically.",
  announceRestored: "The connection is back.",
  published: (ago) => `Last published ${ago} ago`,
  nothingPublished: "Nothing has been published yet",
  lag: (duration) => `${duration} from publication to screen`,
  silentFor: (duration) => `nothing received for ${duration}`,
  dataAge: (time, duration) => `figures as of ${time}, ${duration} ago`,

  embargoTitle: "Results will be released in",
  embargoUntil: (time) =>
    `At ${time}. Until then all figures are zero, and nothing that has been reported is shown.`,
  embargoNow: "Results are being released …",
  announceReleased: "The results have been released.",
  announceCounted: (share) => `${share} of units have reported.`,

  unitsCounted: "Units reporting",
  ofUnits: (n, share) => `of ${number(n)} · ${share}`,
  turnout: "Turnout so far",
  ofEligible: (ballots, eligible) => `${count(ballots, "ballot", "ballots")} · ${number(eligible)} eligible`,
  votesCounted: "Valid votes",
  besides: (blank, rejected) => `${number(blank)} blank · ${number(rejected)} rejected`,
  sharesTitle: "Party shares",
  noVotes: "No votes have been counted yet.",
  others: "Others",
  parties: (n) => count(n, "party", "parties"),
  votes: (n) => count(n, "vote", "votes"),
  allParties: "Show all parties",
  fewerParties: "Show fewer parties",

  correctionsTitle: (n) => count(n, "correction", "corrections"),
  correctionsWhy:
    "When a figure goes down, the municipality has corrected it. " +
    "The latest correction from each municipality, with the reason:",
  fell: (n) => `Ballots fell by ${number(n)}`,
  moved: "Votes moved between parties; the number of ballots is unchanged",
  movedAndRose: (n) => `Votes moved between parties; ballots rose by ${number(n)}`,
  before: (n) => `Corrected; ${count(n, "ballot", "ballots")} before`,
  reasons: {
    recount: "recount",
    revoked: "withdrawn",
    late_ballots: "late ballots",
    booking_error: "data entry error",
    control: "verification",
    other: "other reason",
  },
  noReason: "no reason given",

  tilesTitle: "Municipalities",
  tilesBy: "Colour by",
  byLeader: "Leading party",
  byCounted: "Share reporting",
  tileHint: "Each tile is a municipality. Point at one, or use the arrow keys.",
  mapHint: "Each shape on the map is a municipality. Point at one, or use the arrow keys.",
  noneYet: "no figures yet",
  legendCounted: "From 0% to 100% of units reporting",
  tile: (name, county) => `${name}, ${county}`,
  tileCounted: (n, total) => `${number(n)} of ${count(total, "unit", "units")} reporting`,
  tileLeads: (party, share) => `${party} leads with ${share}`,

  areasTitle: "Counties and municipalities",
  areasCaption:
    "Counties and municipalities with units reporting, turnout and largest parties. " +
    "Column headings sort the table.",
  levelAll: "All areas",
  levels: { country: "Country", county: "Counties", municipality: "Municipalities", precinct: "Units" },
  matches: (n, total) => `${number(n)} of ${count(total, "area", "areas")}`,
  colName: "Place",
  colCounted: "Reporting",
  colTurnout: "Turnout",
  colBallots: "Ballots",
  colFirst: "Largest",
  colSecond: "Second",
  colCorrections: "Corrections",
  colUpdated: "Updated",
  colStatus: "Status",
  colRevision: "Revision",
  colReason: "Reason",
  colTime: "Time",
  colChange: "Change",
  colUnit: "Unit",
  colSequence: "No.",
  statuses: {
    no_report: "no report",
    not_counted: "not counted",
    counting: "counting",
    preliminary: "preliminary",
    final: "final",
    controlled: "verified",
    settled: "settled",
    counted_elsewhere: "counted elsewhere",
    unstated: "no status",
  },
  childrenTitle: { county: "Counties", municipality: "Municipalities", precinct: "Units" },
  childrenOther: "Areas",
  childrenCaption: "The areas directly below this one. Column headings sort the table.",
  unknownArea: (id) => `There is no area “${id}” in this election.`,
  backToAll: "The whole country",
  areaUnit: (parent) => `Unit · ${parent}`,
  areaLevel: { country: "Country", county: "County", municipality: "Municipality" },
  areaId: (id) => `ID ${id}`,
  updatedAt: (time) => `updated ${time}`,

  historyTitle: "How the figures came in",
  historyTable: "All publications",
  historyCaption: "Publications of this area, newest first",
  historyReading: (share) => `Loading the history … ${share}`,
  historyNone: "Nothing from here has been published yet.",
  historySome: (n, first, last) =>
    n === 1 ? `1 publication, ${first}` : `${number(n)} publications from ${first} to ${last}`,
  historyFailed: "The history cannot be loaded right now. The page will try again.",
  plotLabel: (n, from, to, ballots, falls) =>
    `Ballots over time: ${count(n, "publication", "publications")} from ${from} to ${to}, ` +
    `now ${number(ballots)}; ${falls === 0 ? "never fell" : `fell ${times(falls, "once", "times")}`}.`,

  throughTitle: "Is every count through?",
  sentenceThrough: (n) =>
    `Every count received from ${n === 1 ? "the municipality" : `all ${number(n)} municipalities`} is through.`,
  sentenceSomeThrough: (n, total) =>
    `Every count received from ${number(n)} of ${count(total, "municipality", "municipalities")} is through.`,
  sentenceSlowest: (name, duration) => ` Slowest in the last 10 minutes: ${name}, ${duration}.`,
  sentenceNothing: "No counts have been received yet.",
  sentenceWaits: (n, name, duration) =>
    `${count(n, "count", "counts")} from ${name} ${noun(n, "has", "have")} been waiting for ${duration}.`,
  sentenceMoreWait: (n) => ` ${count(n, "other municipality is", "other municipalities are")} waiting too.`,
  sentenceEmbargo: (left) =>
    `Results will be released in ${left}. Nothing that municipalities have sent is shown before then.`,
  sentenceEmbargoOwn: (n, counts) =>
    `${count(n, "municipality is", "municipalities are")} waiting for the release, with ` +
    `${count(counts, "count", "counts")} received.`,
  sentenceReleasing: "Results are being released …",
  sentenceUnknown: (time) => `Status unknown: no answer since ${time}.`,
  sentenceReading: "Loading …",

  totalsUnits: "Units reporting",
  totalsAccepted: "Accepted",
  totalsPublished: "Published",
  totalsDelivered: "Delivered to this page",
  totalsWaiting: "Waiting",
  totalsOf: (n) => `of ${count(n, "unit", "units")}`,
  totalsReports: (n) => noun(n, "report", "reports"),
  totalsOldest: (duration) => `oldest has waited ${duration}`,
  totalsNone: "nothing is waiting",
  totalsToCome: (n) => `${number(n)} remaining`,
  stripTitle: "The night so far",
  stripWhy:
    "The longest that any count has taken from publication to this screen, or has waited to be published, " +
    "since the page was opened. Taller and redder is later.",
  stripLabel: (duration, time) => `Slowest since the page was opened: ${duration}, at ${time}.`,
  stripEmpty: "Nothing has been measured yet.",

  listTitle: "Municipality by municipality",
  listCaption: "How far the counts of each municipality have come. Column headings sort the table.",
  whichAll: "All",
  whichWaiting: "Waiting to be published",
  whichIncomplete: "With units remaining",
  whichSilent: "Never in contact",
  colToCome: "Remaining",
  colAccepted: "Accepted",
  colPublished: "Published",
  colDelivered: "Units delivered",
  colOldest: "Oldest waiting",
  colContact: "Last contact",
  colLag: "Lag",
  colLagTail: "Slowest 1%",
  colEmbargoed: "Under embargo",
  colLast: "Last accepted",
  never: "never",
  agoShort: (duration) => `${duration} ago`,
  wordsTitle: "What the words mean",
  words: [
    ["Remaining", "Units from which no report has been published yet."],
    ["Accepted", "Reports that are stored durably and have a receipt."],
    ["Published", "Reports that are public and open to all."],
    ["Units delivered", "Units whose figures have reached this page through the feed."],
    [
      "Oldest waiting",
      "Age of the oldest report that has been accepted and should be public, but is not yet.",
    ],
    [
      "Lag",
      "Time from the publication of a report until it has been sent to readers. Half are quicker than this.",
    ],
    ["Slowest 1%", "99 of 100 reports have been sent to readers more quickly than this."],
  ],

  ownTitle: "For municipalities: see your own counts",
  ownWhy:
    "Before the results are released, a municipality can see its own counts with its token. The token is kept " +
    "only in the memory of this page, is never stored, and is sent only to the push door.",
  ownToken: "Token",
  ownShow: "Show my counts",
  ownForget: "Forget the token",
  ownElsewhere: (origin) =>
    `The browser can read from this page's own address only, not from ${origin}. Make the push door available ` +
    "at the same address through a reverse proxy, for example under /push, and open this page with " +
    "?push=/push.",
  ownNoPush:
    "This page does not know the address of the push door. Open it with ?push=/push if a reverse proxy makes " +
    "the push door available at the same address, or ask directly: " +
    'curl -H "Authorization: Bearer …" PUSH_DOOR/v1/elections/ELECTION/transfers',
  ownRefused: "The token is not valid for this election.",
  ownUnreachable: "The push door is not responding.",
  ownFailed: (status) => `Unexpected response from the push door (${status}).`,
  ownUpdated: (time) => `Updated ${time}.`,
});

export const TEXTS = { nb: norwegian(figures(LOCALES.nb)), en: english(figures(LOCALES.en)) };
