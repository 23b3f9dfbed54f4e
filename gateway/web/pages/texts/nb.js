// The texts in bokmål, from which `Texts` is inferred: every language has the same ones.

/** @import { Explanations, Figures, Names } from "../texts.js" */

export const NAME = "Bokmål";
export const LOCALES = ["nb-NO"];

/** @param {Figures} figures */
export const texts = ({ number, noun, count, times }) => ({
  language: "Språk",
  skip: "Hopp til innholdet",
  nav: "Sider",
  results: "Resultater",
  transfers: "Overføringer",
  api: "API",
  verify: "Etterprøv",
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
  footFiles:
    "Siden leser åpne filer med resultatene, de samme som alle kan lese. " +
    "Tallene er alltid summen av det tellestedene har meldt inn.",

  noElection: "Det er ikke lagt inn noe valg ennå.",
  unknownElection: (/** @type {string} */ id) => `Valget «${id}» finnes ikke her.`,
  noAnswer: "Tjenesten svarer ikke. Siden prøver igjen automatisk.",
  live: "Direkte",
  connecting: "Kobler til …",
  lost: (/** @type {string} */ time, /** @type {string} */ duration) =>
    `Forbindelsen har vært brutt siden ${time} (i ${duration}). Kobler til igjen automatisk.`,
  files: (/** @type {number} */ every_s) =>
    every_s === 1
      ? "Henter tallene som filer hvert sekund"
      : `Henter tallene som filer hvert ${number(every_s)}. sekund`,
  filesClosed: (/** @type {string} */ time) => `Valget ble avsluttet ${time}. Tallene endres ikke lenger.`,
  filesBehind: (/** @type {string} */ time, /** @type {string} */ duration) =>
    `Filene med tallene er ikke oppdatert siden ${time} (i ${duration}). Siden ser etter nye automatisk.`,
  announceFilesBehind: "Filene med tallene blir ikke oppdatert. Siden ser etter nye automatisk.",
  announceLost: "Forbindelsen er brutt. Siden kobler til igjen automatisk.",
  announceRestored: "Forbindelsen er gjenopprettet.",
  published: (/** @type {string} */ ago) => `Sist publisert for ${ago} siden`,
  nothingPublished: "Ingenting er publisert ennå",
  lag: (/** @type {string} */ duration) => `${duration} fra publisering til skjerm`,
  silentFor: (/** @type {string} */ duration) => `ingenting mottatt på ${duration}`,
  dataAge: (/** @type {string} */ time, /** @type {string} */ duration) =>
    `tallene er fra ${time}, for ${duration} siden`,

  embargoTitle: "Resultatene offentliggjøres om",
  hidden: "skjult",
  hiddenUntil: (/** @type {string} */ time) => `skjult til ${time}`,
  embargoUntil: (/** @type {string} */ time) =>
    `Alt er skjult til ${time}: verken tall eller noe annet av det som er meldt inn, vises før det.`,
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
  unitsChecked: (/** @type {number} */ n) =>
    `${count(n, "tellested", "tellesteder")} kontrolleres: de nyeste tallene derfra er ikke med ennå.`,
  sharesTitle: "Oppslutning",
  noVotes: "Ingen stemmer er talt opp ennå.",
  others: "Andre",
  parties: (/** @type {number} */ n) => count(n, "parti", "partier"),
  votes: (/** @type {number} */ n) => count(n, "stemme", "stemmer"),
  ballots: (/** @type {number} */ n) => count(n, "stemmeseddel", "stemmesedler"),
  allParties: "Vis alle partier",
  fewerParties: "Vis færre partier",

  correctionsTitle: (/** @type {number} */ n) => count(n, "rettelse", "rettelser"),
  correctionsWhy: "Når et tall går ned, har kommunen rettet det. De største rettelsene kommer først.",
  correctionsBefore: (/** @type {number} */ n) =>
    `${count(n, "rettelse ble gjort", "rettelser ble gjort")} før resultatene ble offentliggjort, ` +
    "av tall som aldri var offentlige.",
  correctionChange: (
    /** @type {number} */ before,
    /** @type {number} */ after,
    /** @type {string} */ change,
  ) => `${number(before)} → ${count(after, "stemmeseddel", "stemmesedler")} (${change})`,
  correctionMoved: (/** @type {number} */ n, /** @type {number} */ before, /** @type {number} */ after) =>
    `${count(n, "stemme", "stemmer")} færre for noen partier, ` +
    (before === after ? "fortsatt " : `${number(before)} → `) +
    count(after, "stemmeseddel", "stemmesedler"),
  correctionPublic: (/** @type {string} */ duration, /** @type {string} */ time) =>
    `offentlig i ${duration}, til ${time}`,
  correctionsRest: (/** @type {number} */ n) => count(n, "rettelse til", "rettelser til"),
  correctionGroup: (/** @type {number} */ n, /** @type {string} */ change) =>
    `${count(n, "kommune", "kommuner")}, ${change} stemmesedler`,
  download: "Last ned",
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
  looksLike: (/** @type {string} */ words) => `; det ser ut som: ${words}`,
  explanations: /** @type {Explanations} */ ({
    duplicate_withdrawn: (unit) => `en opptelling fra ${unit} som også var ført her, er trukket tilbake`,
    exchanged: () => "stemmene til to partier var byttet om",
    moved: (unit, ballots) =>
      ballots < 0
        ? `flyttet til ${unit}`
        : ballots > 0
          ? `flyttet fra ${unit}`
          : `flyttet til eller fra ${unit}`,
    restated: () => "de tidligere tallene ble meldt på nytt",
    counted_elsewhere: () => "talt et annet sted",
    status_back: () => "tellingen er åpnet igjen",
    counted_again: () => "talt på nytt",
    more_counted: () => "flere stemmesedler talt",
  }),

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

  byChange: (/** @type {string} */ time) => `Endring siden ${time}`,
  byParty: "Parti som vises",
  swingTitle: (/** @type {string} */ party, /** @type {string} */ time) =>
    `${party}: endring siden ${time}, etter kommune`,
  swingSummary: (
    /** @type {string} */ party,
    /** @type {number} */ up,
    /** @type {number} */ down,
    /** @type {number} */ n,
    /** @type {string} */ time,
  ) =>
    `${party} går fram i ${number(up)} og tilbake i ${number(down)} av ${count(n, "kommune", "kommuner")} siden ${time}. I prosentpoeng:`,
  swingNobody: (/** @type {string} */ party, /** @type {string} */ time) =>
    `Det er ingen tall ennå som kan sammenligne ${party} med ${time}.`,
  swingBelow: (/** @type {string} */ points) => `${points} eller lavere`,
  swingAbove: (/** @type {string} */ points) => `${points} eller høyere`,
  swingRange: (/** @type {string} */ low, /** @type {string} */ high) => `${low} til ${high}`,
  swingRises: "Størst framgang:",
  swingFalls: "Størst tilbakegang:",
  swingNone: "ingen sammenligning",

  isNew: "ny",
  isNewInWords: (/** @type {string} */ time) => `stilte ikke her i ${time}`,
  pointsSince: (/** @type {string} */ points, /** @type {string} */ time) =>
    `${points} prosentpoeng siden ${time}`,
  comparedUnit: (/** @type {string} */ time) =>
    `Endringene er i prosentpoeng, sammenlignet med det samme tellestedet i ${time}.`,
  comparedSame: (/** @type {string} */ time) =>
    `Endringene er i prosentpoeng, sammenlignet med de samme tellestedene i ${time}.`,
  comparedWhole: (/** @type {string} */ whole, /** @type {string} */ time) =>
    `Endringene er i prosentpoeng, sammenlignet med ${whole} i ${time}.`,
  comparedEarly: "Ikke alt her er talt opp: noe av endringen kan skyldes hvilke steder som er talt først.",
  comparedNone: (/** @type {string} */ time) => `Det er ingen tall fra ${time} å sammenligne med her.`,
  wholeOf: /** @type {Names} */ ({
    country: "hele landet",
    county: "hele fylket",
    municipality: "hele kommunen",
  }),
  wholeArea: "hele området",
  basisSame: "sammenlignet med de samme tellestedene",
  basisWhole: "sammenlignet med hele området, før alt er talt",
  changeNote: (/** @type {string} */ time) =>
    `Ved siden av andelene: endringen i prosentpoeng siden ${time}.`,
  changeNotePartial: "Med stjerne: sammenlignet med hele området, selv om ikke alt er talt opp.",

  nightTitle: "Natten som den var",
  nightWhy:
    "Gå tilbake til et hvilket som helst tidspunkt i opptellingen, eller spill av hele på ett minutt.",
  nightNow: "Nå",
  nightWaiting: "Slik det var",
  nightAt: (/** @type {string} */ moment) => `Slik det var ${moment}`,
  nightBefore: "Slik det var før den første publiseringen",
  nightOf: (/** @type {number} */ n, /** @type {number} */ total) =>
    `etter ${number(n)} av ${count(total, "publisering", "publiseringer")}`,
  nightLive: "Tilbake til direkte",
  nightPlay: "Spill av natten",
  nightPause: "Pause",
  nightSlider: "Tidspunkt på valgnatten",
  nightPrevious: "Én publisering tilbake",
  nightNext: "Én publisering fram",
  nightReading: (/** @type {string} */ share) => `Leser den offentlige journalen … ${share}`,
  nightNote:
    "Tallene summeres i nettleseren din, fra den offentlige journalen. Lister over rettelser og forklaringer på dem, " +
    "tall som kontrolleres, mandater og nedlastinger vises bare direkte.",
  nightVerified: (/** @type {number} */ n) =>
    `Kjeden gjennom alle ${number(n)} publiseringer er kontrollert: ingen mangler eller er endret.`,
  nightUnverified: "Kjeden gjennom journalen er ikke kontrollert: det kan nettlesere bare gjøre over HTTPS.",
  nightTroubles: /** @type {{[trouble: string]: string}} */ ({
    waiting: "Den offentlige journalen kan ikke leses akkurat nå. Siden prøver igjen.",
    broken:
      "Den offentlige journalen stemmer ikke med sin egen kjede, eller er ikke den som de direkte tallene kommer fra. Tidligere tidspunkter vises ikke.",
    large: "Den offentlige journalen for dette valget er for stor til å summeres i en nettleser.",
    unsupported:
      "Den offentlige journalen kan ikke summeres her. Last siden på nytt, eller prøv en nyere nettleser.",
  }),

  embedTitle: "Bruk på egen nettside",
  embedWhy:
    "Lim inn koden der resultatet skal stå. Rammen viser direkte tall, lagrer ingenting og har samme høyde som innholdet.",
  embedWhat: "Innhold",
  embedWhole: "Alle resultater",
  embedCopy: "Kopier koden",
  embedCopied: "Koden er kopiert.",
  embedParts: /** @type {Names} */ ({
    summary: "Nøkkeltall og partier",
    parties: "Partier",
    figures: "Nøkkeltall",
    "summary,table": "Nøkkeltall, partier og områdene under",
    table: "Områdene under",
    corrections: "Rettelser",
    seats: "Mandater",
  }),
  kioskChanges: "Siste tall",
  kioskTiles: "Største parti i kommunene",
  kioskCounted: "Andel talt opp etter kommune",

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
  unknownPart: (/** @type {string} */ part, /** @type {string} */ parts) =>
    `Delen «${part}» finnes ikke; show= tar imot ${parts}.`,
  notInFiles:
    "Det finnes ingen filer med tallene for dette området til rammer. Følg lenken til alle resultatene for å se dem.",
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

  throughTitle: "Hvor er tellingene?",
  sentencePublished: (/** @type {number} */ toCome, /** @type {number} */ units) =>
    toCome
      ? `Alt som er mottatt, er publisert; ${count(toCome, "tellested", "tellesteder")} gjenstår.`
      : `Alt som er mottatt, er publisert; ${units === 1 ? "tellestedet" : `alle ${number(units)} tellesteder`} har tall.`,
  sentenceUnderWay: (/** @type {number} */ n, /** @type {number} */ toCome) =>
    `${count(n, "mottatt telling", "mottatte tellinger")} publiseres nå; ` +
    `${count(toCome, "tellested", "tellesteder")} gjenstår.`,
  sentencePublishedElse: (/** @type {number} */ toCome) =>
    `Alt annet som er mottatt, er publisert${toCome ? `; ${count(toCome, "tellested", "tellesteder")} gjenstår` : ""}.`,
  sentenceChecked: (/** @type {number} */ n) => `${count(n, "tellested", "tellesteder")} kontrolleres. `,
  sentenceSlowest: (/** @type {string} */ name, /** @type {string} */ duration) =>
    ` Tregest de siste ti minuttene: ${name}, ${duration}.`,
  sentenceNothing: "Ingen tellinger er mottatt ennå.",
  sentenceWaits: (/** @type {number} */ n, /** @type {string} */ name, /** @type {string} */ duration) =>
    `${count(n, "telling", "tellinger")} fra ${name} har ventet i ${duration}.`,
  sentenceMoreWait: (/** @type {number} */ n) =>
    ` ${count(n, "annen kommune", "andre kommuner")} venter også.`,
  sentenceEmbargo: (/** @type {string} */ time, /** @type {string} */ left) =>
    `Skjult til ${time}, om ${left}: ingenting av det kommunene har sendt inn, vises før det.`,
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
  whichChecked: "Kontrolleres",
  whichIncomplete: "Mangler tellesteder",
  whichSilent: "Har aldri vært i kontakt",
  colToCome: "Gjenstår",
  colAccepted: "Mottatt",
  colChecked: "Kontrolleres",
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
  hours: "t",
  wordsTitle: "Hva ordene betyr",
  words: [
    ["Gjenstår", "Tellesteder som ennå ikke har fått publisert noen melding."],
    ["Mottatt", "Meldinger som er lagret trygt og kvittert for."],
    [
      "Kontrolleres",
      "Tellesteder der den nyeste meldingen holdes tilbake til en person til har kontrollert den, og hvor lenge den " +
        "eldste har ventet.",
    ],
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

  countLead:
    "Lim inn rader fra regnearket eller velg en fil. Du ser hva som endres, før noe sendes, og får kvitteringer " +
    "du kan ta vare på.",
  signInTitle: "1. Logg inn",
  electionId: "Valgets ID",
  signIn: "Fortsett",
  tokenWhy:
    "Tokenet ligger bare i minnet på denne siden. Det lagres aldri, og det sendes bare til tjenesten du har åpnet.",
  tokenEmpty: "Skriv eller lim inn tokenet.",
  electionEmpty: "Skriv valgets ID. Den står i adressen du har fått, etter «?election=».",
  otherElection: (/** @type {string} */ id) =>
    `Siden har tellinger for valget «${id}». Last inn siden på nytt for å logge inn til et annet valg.`,
  badToken:
    "Tokenet er ikke gyldig for dette valget. Lim det inn på nytt, hele, uten mellomrom; er det fortsatt feil, be " +
    "valgledelsen om et nytt.",
  badTokenKept:
    "Tokenet er ikke gyldig lenger. Tellingene er fortsatt her på siden: be valgledelsen om et nytt token, lim det inn, " +
    "og fortsett.",
  noAnswerYet: "Ingen kontakt med mottakstjenesten. Sjekk nettet, og prøv igjen. Ingenting er sendt.",
  busy: "Mottakstjenesten er opptatt. Vent litt, og prøv igjen.",
  signedIn: (/** @type {string} */ election, /** @type {string} */ place, /** @type {number} */ units) =>
    `Logget inn: ${election}, ${place} (${count(units, "tellested", "tellesteder")}).`,
  signedInToRead: (
    /** @type {string} */ election,
    /** @type {string} */ place,
    /** @type {number} */ units,
  ) =>
    `Logget inn for å lese: ${election}, ${place} (${count(units, "tellested", "tellesteder")}). Dette tokenet kan ikke ` +
    "sende inn tellinger.",
  acceptTooMany: (/** @type {number} */ n) =>
    `${number(n)} slike feil er for mange til å godkjennes. Er det riktig fil? Ingenting er sendt.`,
  severalMunicipalities: (/** @type {number} */ n) => count(n, "kommune", "kommuner"),
  fileTitle: "2. Lim inn eller velg en fil",
  fileWhy:
    "Merk radene i regnearket, med overskriftene, kopier dem, og lim dem inn her. Eller velg filen selv: .xlsx, .csv, " +
    ".json, .ndjson eller .xml (EML 510), høyst 8 MiB. Filen leses akkurat som av «valgnatt push».",
  template: "Last ned en tom tabell",
  pasteLabel: "Rader fra regnearket",
  fileLabel: "Eller velg en fil",
  check: "Kontroller",
  checkAgain: "Kontroller på nytt",
  checking: "Leser og kontrollerer …",
  checkBusy: (/** @type {string} */ time) =>
    `Mottakstjenesten har vært opptatt siden ${time}. Prøver igjen …`,
  checkNoAnswer: (/** @type {string} */ time) =>
    `Ingen kontakt med mottakstjenesten siden ${time}. Prøver igjen. Ingenting er sendt, og tellingene er fortsatt her.`,
  fileMissing: "Lim inn rader eller velg en fil først.",
  fileUnknown: "Filtypen er ukjent. Bruk .xlsx, .csv, .tsv, .txt, .json, .ndjson eller .xml.",
  fileTooLarge: "Mer enn 8 MiB. Del innholdet på flere filer, og send dem én etter én.",
  fileRefused: /** @type {Names} */ ({
    too_large: "Mer enn 8 MiB. Del innholdet på flere filer, og send dem én etter én.",
    too_costly: "Det tar for lang tid å lese filen. Del den på flere filer, og send dem én etter én.",
    unknown_election: "Valget finnes ikke lenger.",
    malformed: "Filen kom ikke helt fram. Kontroller på nytt.",
  }),
  fileWrong: (/** @type {number} */ n) => `${count(n, "feil", "feil")}. Ingenting er sendt.`,
  fileKept: "Rett opp, og kontroller på nytt.",
  showLine: (/** @type {number} */ line) => `Vis linje ${line}`,
  showCell: (/** @type {number} */ line, /** @type {string} */ column) =>
    `Vis linje ${line}, kolonne ${column}`,
  previewTitle: "3. Se over",
  previewSummary: (
    /** @type {number} */ n,
    /** @type {number} */ first,
    /** @type {number} */ replaced,
    /** @type {number} */ same,
  ) =>
    `${count(n, "telling", "tellinger")}: ${number(first)} ${noun(first, "ny", "nye")}, ${number(replaced)} ` +
    `erstatter en tidligere, ${number(same)} uten virkning. Ingenting er sendt ennå.`,
  previewCaption: "Tellingene i filen ved siden av det som er mottatt før. De mest uvanlige står først.",
  emptyUnits: (/** @type {number} */ n) => `${count(n, "tellested", "tellesteder")} uten tall er utelatt.`,
  moreReports: (/** @type {number} */ n) => `og ${count(n, "telling", "tellinger")} til`,
  moreUnits: (/** @type {number} */ n) => `og ${count(n, "tellested", "tellesteder")} til`,
  wouldHold: (/** @type {number} */ n) =>
    `Slik tallene er nå, ville ${count(n, "telling", "tellinger")} bli holdt tilbake: ` +
    `${noun(n, "den", "de")} får kvittering, men blir kontrollert før ${noun(n, "den", "de")} publiseres. Se over ` +
    "tallene en gang til. Mottaket sammenligner med flere tellinger enn siden kan, og reglene kan være endret.",
  heldBecause: (/** @type {string} */ why) => `Ville bli holdt tilbake. ${why}`,
  heldForThis: "Tellingen ville bli holdt tilbake.",
  redLinesTitle: "Dette er nesten aldri riktig",
  acceptWord: "JA",
  acceptLabel: (/** @type {string} */ word) =>
    `Er tallene likevel riktige? Skriv ${word} for å kunne sende dem.`,
  acceptMissing: (/** @type {string} */ word) =>
    `Skriv ${word} hvis tallene er riktige. Ellers: rett opp filen. Ingenting er sendt.`,
  colFindings: "Virkning og merknader",
  effects: /** @type {Names} */ ({
    first: "første telling",
    replaces: "erstatter forrige",
    repeats: "uendret, allerede mottatt",
    older: "eldre enn den gjeldende",
    unknown: "forrige telling er ukjent",
  }),
  now: "nå ",
  categoryMissing: "mangler nå",
  categories: /** @type {Names} */ ({ advance: "Forhånd", election_day: "Valgting" }),
  percent: (/** @type {number} */ n) => `${number(n)} %`,
  findAboveEligible: (
    /** @type {string} */ name,
    /** @type {number} */ after,
    /** @type {number} */ eligible,
  ) =>
    `${name} får ${count(after, "stemmeseddel", "stemmesedler")}, men har bare ` +
    `${count(eligible, "stemmeberettiget", "stemmeberettigede")}.`,
  findUnitAboveEligible: (/** @type {number} */ after, /** @type {number} */ eligible) =>
    `${count(after, "stemmeseddel", "stemmesedler")}, men bare ` +
    `${count(eligible, "stemmeberettiget", "stemmeberettigede")}.`,
  findFell: (/** @type {number} */ before, /** @type {number} */ after) =>
    `Antall stemmesedler går ned fra ${number(before)} til ${number(after)}.`,
  findMissingCategory: (/** @type {string} */ category, /** @type {number} */ n) =>
    `${category} mangler, men hadde ${count(n, "stemmeseddel", "stemmesedler")} før.`,
  findMissingParties: (/** @type {string} */ category, /** @type {string} */ parties) =>
    `${category}: partier hadde stemmer før og har ingen nå: ${parties}.`,
  findVotesFell: (/** @type {string} */ category, /** @type {string} */ parties) =>
    `${category}: partier har færre stemmer enn før: ${parties}.`,
  findReason: (/** @type {string} */ reasons) =>
    `Er det en rettelse, skriv årsaken i kolonnen «årsak»: ${reasons}.`,
  findStatusBack: (/** @type {string} */ before, /** @type {string} */ after) =>
    `Statusen går tilbake fra «${before}» til «${after}».`,
  send: (/** @type {number} */ n) => `Send ${count(n, "telling", "tellinger")}`,
  sendingTitle: "4. Kvitteringer",
  sendingNow: (/** @type {number} */ done, /** @type {number} */ total) =>
    `Sender: ${number(done)} av ${number(total)} er kvittert for.`,
  sendingTrouble: (/** @type {number} */ done, /** @type {number} */ total, /** @type {string} */ time) =>
    `Ingen kontakt med mottakstjenesten siden ${time}; ${number(done)} av ${number(total)} er kvittert for. Siden prøver ` +
    "igjen til det lykkes. La den være åpen. Det er trygt å sende på nytt: ingenting telles to ganger.",
  sendingDone: (/** @type {number} */ n) =>
    n === 1
      ? "Tellingen er mottatt og kvittert for."
      : `Alle ${number(n)} tellinger er mottatt og kvittert for.`,
  sendingRefused: (/** @type {number} */ done, /** @type {number} */ refused, /** @type {number} */ left) =>
    `${number(done)} kvittert for, ${number(refused)} avvist, ${number(left)} ikke sendt. Se hvorfor nedenfor.`,
  sendingToken: (/** @type {number} */ n) =>
    `Tokenet er ikke gyldig lenger. ${count(n, "telling", "tellinger")} uten kvittering er fortsatt her på siden.`,
  sendingEnded: (/** @type {number} */ status, /** @type {string} */ detail) =>
    `Mottakstjenesten tar ikke imot (${status}). ${detail}`,
  receiptsCaption: "Svaret på hver telling",
  colAnswer: "Svar",
  answerWaits: "venter",
  answerNotSent: "ikke sendt, fordi en tidligere telling av tellestedet ble avvist",
  answerStates: /** @type {Names} */ ({
    embargoed: "mottatt, offentliggjøres senere",
    published: "mottatt og publisert",
    held: "mottatt, blir kontrollert før den publiseres",
    rejected: "avvist etter kontroll; send en rettet telling",
    superseded: "erstattet av en nyere telling før den ble publisert",
  }),
  answerDuplicate: "var allerede mottatt",
  refusals: /** @type {Names} */ ({
    stale_revision: "En annen telling av tellestedet kom først. Kontroller på nytt.",
    revision_conflict: "En annen telling av tellestedet kom først. Kontroller på nytt.",
    election_closed: "Valget er avsluttet. Ta kontakt med valgledelsen.",
    unit_forbidden: "Tokenet gjelder ikke dette tellestedet.",
    invalid_report: "Tellingen er ikke gyldig.",
    token_revoked: "Tokenet er trukket tilbake. Ta kontakt med valgledelsen.",
  }),
  refusedFor: (/** @type {string} */ code) => `Avvist (${code}).`,
  downloadCsv: "Last ned kvitteringene (CSV)",
  downloadJson: "Last ned kvitteringene (JSON)",
  ownCountsTitle: "Mine tellinger",
  ownSummary: (
    /** @type {number} */ reported,
    /** @type {number} */ total,
    /** @type {number} */ embargoed,
  ) =>
    `${number(reported)} av ${count(total, "tellested", "tellesteder")} har en mottatt telling` +
    `${embargoed ? `; ${number(embargoed)} offentliggjøres senere` : ""}.`,
  ownStale: (/** @type {string} */ time) => `Ingen kontakt; dette er fra ${time}.`,

  operatorPage: "Driftstavle",
  boardShow: "Vis tavlen",
  boardWhy:
    "Tavlen viser hva systemene i hver kommune har gjort, også før tallene er offentlige. Den krever et token for " +
    "operatører, som bare finnes i minnet til denne siden og bare sendes hit.",
  boardElection: "Valgets ID",
  boardToken: "Token",
  boardTokenRefused: "Tokenet er ikke gyldig for dette valget. Sjekk valget og tokenet.",
  boardNotOperator: "Dette er et token for en avsender. Tavlen krever et token med rollen operator.",
  boardNoDatabase: "Databasen svarer ikke. Siden prøver igjen automatisk.",
  boardStale: (/** @type {string} */ time, /** @type {string} */ age) =>
    `Ikke noe svar siden ${time} (i ${age}). Det som vises, er fra da. Siden prøver igjen automatisk.`,
  boardConnected: "Kommuner som har vært i kontakt",
  boardAccepted: "Mottatte meldinger",
  boardOldest: "Eldste telling uten kvittering",
  boardRefusedTotal: "Avvisninger",
  boardNone: "ingen",
  boardEmbargoEnds: "Til sperrefristen er ute",
  boardReleasedAt: "Offentlig fra",
  boardClosedAt: "Stengt",
  boardProblems: (/** @type {number} */ n) => count(n, "problem", "problemer"),
  boardNoProblem: "Ingen problemer",
  boardOverdue: (/** @type {string} */ age, /** @type {number} */ n) =>
    `Sperrefristen gikk ut for ${age} siden, men ${count(n, "melding er", "meldinger er")} ikke offentliggjort`,
  boardReceipts: (/** @type {string} */ age, /** @type {number} */ n) =>
    `Eldste telling har ventet i ${age} på kvittering (${count(n, "venter", "venter")})`,
  boardUnpublished: (/** @type {string} */ age, /** @type {number} */ n) =>
    `Eldste telling har ventet i ${age} på å bli offentlig (${count(n, "venter", "venter")})`,
  boardUnknown: (/** @type {number} */ n) =>
    `${count(n, "avvisning", "avvisninger")} som ikke hører til én kommune`,
  boardRows: /** @type {{[state: string]: (n: number) => string}} */ ({
    refused: (n) =>
      `${count(n, "kommune er avvist", "kommuner er avvist")} og har ikke sendt noe gyldig siden`,
    expired: (n) => `${count(n, "kommune", "kommuner")} har bare utløpte token`,
    noToken: (n) => `${count(n, "kommune", "kommuner")} har ikke noe token`,
    never: (n) => `${count(n, "kommune", "kommuner")} har aldri vært i kontakt`,
    silent: (n) => `${count(n, "kommune har vært taus", "kommuner har vært tause")} for lenge`,
  }),
  boardEarly: (/** @type {string} */ time) => `(ingen trenger å melde før ${time})`,
  boardMore: (/** @type {number} */ n) => `og ${number(n)} til`,
  boardShowThem: "Vis dem i tabellen",
  boardSilentAfter: "Taus etter (minutter)",
  boardCaption: "Hver kommune: tilstand, sist hørt fra, avvisninger og token; de som trenger hjelp, først",
  boardState: "Tilstand",
  boardHeard: "Sist hørt fra",
  boardReported: "Tellesteder med tall",
  boardRefused: "Avvist",
  boardTokens: "Token",
  boardRevoke: (/** @type {number} */ token) => `Kopier «token revoke ${token}»`,
  boardStates: /** @type {Names} */ ({
    refused: "avvist",
    expired: "token utløpt",
    noToken: "uten token",
    never: "aldri i kontakt",
    silent: "taus",
    reporting: "melder",
    done: "alt meldt",
    closed: "stengt",
  }),
  boardActs: "Bevisste handlinger",
  boardActsWhy:
    "Bortsett fra avgjørelser om tilbakeholdte meldinger kan siden bare lese. Disse kommandoene kjøres på en maskin med tilgang til databasen; les dem før du kjører dem.",
  boardPostpone: "Utsett sperrefristen en halv time. Den kan ikke flyttes tilbake.",
  boardClose: "Steng valget. Ingen flere meldinger tas imot, og det kan ikke angres.",
  boardCopy: "Kopier",
  boardCopied: (/** @type {string} */ line) => `Kopiert: ${line}`,
  boardNotCopied: (/** @type {string} */ line) =>
    `Nettleseren lar ikke siden kopiere. Kommandoen er: ${line}`,
});
