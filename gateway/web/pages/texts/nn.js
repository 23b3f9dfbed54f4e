// The texts in nynorsk.

/** @import { Language } from "../texts.js" */

export const NAME = "Nynorsk";
export const LOCALES = ["nn-NO", "nb-NO"]; // browsers that do not know the one write figures and times as the other

/** @type {Language["texts"]} */
export const texts = ({ number, noun, count, times }) => ({
  language: "Språk",
  skip: "Hopp til innhaldet",
  nav: "Sider",
  results: "Resultat",
  transfers: "Overføringar",
  api: "API",
  countPage: "Send inn teljingar",
  election: "Val",
  crumbs: "Overordna område",
  contents: "Innhald",
  search: "Søk etter stad",
  show: "Vis",
  more: "Vis fleire",
  showAll: (n) => `Vis alle ${number(n)}`,
  rehearsal: "ØVING. Tala er ikkje ekte resultat.",
  foot:
    "Sida les den opne resultatstraumen, den same som alle kan lese. " +
    "Tala er alltid summen av det teljestadene har meldt inn.",

  noElection: "Det er ikkje lagt inn noko val enno.",
  unknownElection: (id) => `Valet «${id}» finst ikkje her.`,
  noAnswer: "Tenesta svarer ikkje. Sida prøver igjen automatisk.",
  live: "Direkte",
  connecting: "Koplar til …",
  lost: (time, duration) =>
    `Sambandet har vore brote sidan ${time} (i ${duration}). Koplar til igjen automatisk.`,
  announceLost: "Sambandet er brote. Sida koplar til igjen automatisk.",
  announceRestored: "Sambandet er oppretta igjen.",
  published: (ago) => `Sist publisert for ${ago} sidan`,
  nothingPublished: "Ingenting er publisert enno",
  lag: (duration) => `${duration} frå publisering til skjerm`,
  silentFor: (duration) => `ingenting motteke på ${duration}`,
  dataAge: (time, duration) => `tala er frå ${time}, for ${duration} sidan`,

  embargoTitle: "Resultata blir offentleggjorde om",
  embargoUntil: (time) =>
    `Klokka ${time}. Fram til då står alle tal på null, og ingenting av det som er meldt inn, blir vist.`,
  embargoNow: "Resultata blir offentleggjorde no …",
  announceReleased: "Resultata er offentleggjorde.",
  announceCounted: (share) => `${share} av teljestadene har tal.`,

  unitsCounted: "Teljestader med tal",
  ofUnits: (n, share) => `av ${number(n)} · ${share}`,
  turnout: "Valdeltaking så langt",
  ofEligible: (ballots, eligible) =>
    `${count(ballots, "røystesetel", "røystesetlar")} · ${number(eligible)} med røysterett`,
  votesCounted: "Godkjende røyster",
  besides: (blank, rejected) => `${count(blank, "blank", "blanke")} · ${number(rejected)} forkasta`,
  sharesTitle: "Oppslutning",
  noVotes: "Ingen røyster er talde opp enno.",
  others: "Andre",
  parties: (n) => count(n, "parti", "parti"),
  votes: (n) => count(n, "røyst", "røyster"),
  ballots: (n) => count(n, "røystesetel", "røystesetlar"),
  allParties: "Vis alle parti",
  fewerParties: "Vis færre parti",

  correctionsTitle: (n) => count(n, "retting", "rettingar"),
  correctionsWhy:
    "Når eit tal går ned, har kommunen retta det. Her er den siste rettinga frå kvar kommune, med årsak:",
  fell: (n) => `Talet på røystesetlar gjekk ned med ${number(n)}`,
  moved: "Røyster vart flytte mellom parti; talet på røystesetlar er uendra",
  movedAndRose: (n) => `Røyster vart flytte mellom parti; talet på røystesetlar auka med ${number(n)}`,
  before: (n) => `Retta; ${count(n, "røystesetel", "røystesetlar")} før rettinga`,
  reasons: {
    recount: "ny oppteljing",
    revoked: "trekt tilbake",
    late_ballots: "seint innkomne røystesetlar",
    booking_error: "føringsfeil",
    control: "kontroll",
    other: "annan årsak",
  },
  noReason: "inga årsak oppgitt",

  tilesTitle: "Kommunane",
  tilesBy: "Fargelegg etter",
  byLeader: "Største parti",
  byCounted: "Del talt opp",
  tileHint: "Kvar rute er ein kommune. Peik på ei rute, eller bruk piltastane.",
  mapHint: "Kvart område på kartet er ein kommune. Peik på eit område, eller bruk piltastane.",
  noneYet: "ingen tal enno",
  legendCounted: "Frå 0 % til 100 % av teljestadene har tal",
  tile: (name, county) => `${name}, ${county}`,
  tileCounted: (n, total) => `tal frå ${number(n)} av ${count(total, "teljestad", "teljestader")}`,
  tileLeads: (party, share) => `${party} er størst med ${share}`,

  areasTitle: "Fylke og kommunar",
  areasCaption:
    "Fylke og kommunar med talet på teljestader som har tal, valdeltaking og største parti. " +
    "Kolonneoverskriftene sorterer tabellen.",
  levelAll: "Alle område",
  levels: { country: "Land", county: "Fylke", municipality: "Kommunar", precinct: "Teljestader" },
  matches: (n, total) => `${number(n)} av ${count(total, "område", "område")}`,
  colName: "Stad",
  colCounted: "Talt",
  colTurnout: "Valdeltaking",
  colBallots: "Røystesetlar",
  colFirst: "Størst",
  colSecond: "Nest størst",
  colCorrections: "Rettingar",
  colUpdated: "Oppdatert",
  colStatus: "Status",
  colRevision: "Versjon",
  colReason: "Årsak",
  colTime: "Tidspunkt",
  colChange: "Endring",
  colUnit: "Teljestad",
  colSequence: "Nr.",
  statuses: {
    no_report: "inga melding",
    not_counted: "ikkje talt",
    counting: "blir talt",
    preliminary: "førebels",
    final: "endeleg",
    controlled: "kontrollert",
    settled: "avgjord",
    counted_elsewhere: "talt ein annan stad",
    unstated: "utan status",
  },
  childrenTitle: { county: "Fylke", municipality: "Kommunar", precinct: "Teljestader" },
  childrenOther: "Område",
  childrenCaption: "Områda rett under dette. Kolonneoverskriftene sorterer tabellen.",
  unknownArea: (id) => `Området «${id}» finst ikkje i dette valet.`,
  backToAll: "Heile landet",
  areaUnit: (parent) => `Teljestad · ${parent}`,
  areaLevel: { country: "Land", county: "Fylke", municipality: "Kommune" },
  areaId: (id) => `ID ${id}`,
  updatedAt: (time) => `oppdatert ${time}`,

  historyTitle: "Slik kom tala inn",
  historyTable: "Alle publiseringar",
  historyCaption: "Publiseringar for dette området, dei nyaste først",
  historyReading: (share) => `Hentar historikken … ${share}`,
  historyNone: "Ingenting er publisert herifrå enno.",
  historySome: (n, first, last) =>
    n === 1 ? `1 publisering, ${first}` : `${number(n)} publiseringar frå ${first} til ${last}`,
  historyFailed: "Historikken kan ikkje hentast akkurat no. Sida prøver igjen.",
  plotLabel: (n, from, to, ballots, falls) =>
    `Røystesetlar over tid: ${count(n, "publisering", "publiseringar")} frå ${from} til ${to}, ` +
    `no ${number(ballots)}; gjekk ${falls === 0 ? "aldri ned" : `ned ${times(falls, "éin gong", "gonger")}`}.`,

  throughTitle: "Er alle teljingar framme?",
  sentenceThrough: (n) =>
    `Alle teljingar som er mottekne frå ${n === 1 ? "kommunen" : `dei ${number(n)} kommunane`}, er framme.`,
  sentenceSomeThrough: (n, total) =>
    `Alle teljingar som er mottekne frå ${number(n)} av ${count(total, "kommune", "kommunar")}, er framme.`,
  sentenceSlowest: (name, duration) => ` Tregast dei siste ti minutta: ${name}, ${duration}.`,
  sentenceNothing: "Ingen teljingar er mottekne enno.",
  sentenceWaits: (n, name, duration) =>
    `${count(n, "teljing", "teljingar")} frå ${name} har venta i ${duration}.`,
  sentenceMoreWait: (n) => ` ${count(n, "annan kommune", "andre kommunar")} ventar òg.`,
  sentenceEmbargo: (left) =>
    `Resultata blir offentleggjorde om ${left}. Ingenting av det kommunane har sendt inn, blir vist før det.`,
  sentenceEmbargoOwn: (n, counts) =>
    `${count(n, "kommune", "kommunar")} ventar på at resultata blir offentleggjorde, med ` +
    `${count(counts, "motteken teljing", "mottekne teljingar")}.`,
  sentenceReleasing: "Resultata blir offentleggjorde no …",
  sentenceUnknown: (time) => `Ukjend tilstand: ikkje noko svar etter klokka ${time}.`,
  sentenceReading: "Hentar …",

  totalsUnits: "Teljestader med tal",
  totalsAccepted: "Motteke",
  totalsPublished: "Publisert",
  totalsDelivered: "Levert til denne sida",
  totalsWaiting: "Ventar",
  totalsOf: (n) => `av ${count(n, "teljestad", "teljestader")}`,
  totalsReports: (n) => noun(n, "melding", "meldingar"),
  totalsOldest: (duration) => `den eldste har venta ${duration}`,
  totalsNone: "ingenting ventar",
  totalsToCome: (n) => `${number(n)} står att`,
  stripTitle: "Natta så langt",
  stripWhy:
    "Den lengste tida ei teljing har brukt frå publisering til denne skjermen, eller har venta på " +
    "publisering, etter at sida vart opna. Di høgare og raudare, di seinare.",
  stripLabel: (duration, time) => `Tregast etter at sida vart opna: ${duration}, klokka ${time}.`,
  stripEmpty: "Ingenting er målt enno.",

  listTitle: "Kommune for kommune",
  listCaption: "Kor langt teljingane frå kvar kommune er komne. Kolonneoverskriftene sorterer tabellen.",
  whichAll: "Alle",
  whichWaiting: "Ventar på publisering",
  whichIncomplete: "Manglar teljestader",
  whichSilent: "Har aldri vore i kontakt",
  colToCome: "Står att",
  colAccepted: "Motteke",
  colPublished: "Publisert",
  colDelivered: "Teljestader leverte",
  colOldest: "Eldste som ventar",
  colContact: "Sist i kontakt",
  colLag: "Forseinking",
  colLagTail: "Tregaste 1\u00a0%",
  colEmbargoed: "Under sperrefrist",
  colLast: "Sist motteke",
  never: "aldri",
  agoShort: (duration) => `${duration} sidan`,
  hours: "t",
  wordsTitle: "Kva orda tyder",
  words: [
    ["Står att", "Teljestader som enno ikkje har fått publisert noka melding."],
    ["Motteke", "Meldingar som er lagra trygt og kvitterte for."],
    ["Publisert", "Meldingar som er offentleggjorde og opne for alle."],
    ["Teljestader leverte", "Teljestader som har nådd denne sida gjennom resultatstraumen."],
    [
      "Eldste som ventar",
      "Alderen på den eldste meldinga som er motteken og skulle vore publisert, men som ikkje er det enno.",
    ],
    [
      "Forseinking",
      "Tida frå ei melding er publisert til ho er send til lesarane. Halvparten går raskare enn dette.",
    ],
    ["Tregaste 1\u00a0%", "99 av 100 meldingar er sende til lesarane raskare enn dette."],
  ],

  ownTitle: "For kommunar: sjå eigne teljingar",
  ownWhy:
    "Før resultata blir offentleggjorde, kan ein kommune sjå sine eigne teljingar med tokenet sitt. Tokenet " +
    "ligg berre i minnet på denne sida, blir aldri lagra og blir berre sendt til mottakstenesta.",
  ownToken: "Token",
  ownShow: "Vis teljingane mine",
  ownForget: "Gløym tokenet",
  ownElsewhere: (origin) =>
    `Nettlesaren kan berre hente data frå adressa til sida sjølv, ikkje frå ${origin}. Gjer mottakstenesta ` +
    "tilgjengeleg på same adresse med ein omvend proxy, til dømes under /push, og opne sida med " +
    "?push=/push.",
  ownNoPush:
    "Sida kjenner ikkje adressa til mottakstenesta. Opne sida med ?push=/push dersom ein omvend proxy " +
    "gjer tenesta tilgjengeleg på same adresse, eller spør direkte: " +
    'curl -H "Authorization: Bearer …" MOTTAKSTENESTA/v1/elections/VALET/transfers',
  ownRefused: "Tokenet er ikkje gyldig for dette valet.",
  ownUnreachable: "Mottakstenesta svarer ikkje.",
  ownFailed: (status) => `Uventa svar frå mottakstenesta (${status}).`,
  ownUpdated: (time) => `Oppdatert ${time}.`,
});
