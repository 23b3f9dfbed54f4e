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
  verify: "Etterprøv",
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
  footFiles:
    "Sida les opne filer med resultata, dei same som alle kan lese. " +
    "Tala er alltid summen av det teljestadene har meldt inn.",

  noElection: "Det er ikkje lagt inn noko val enno.",
  unknownElection: (id) => `Valet «${id}» finst ikkje her.`,
  noAnswer: "Tenesta svarer ikkje. Sida prøver igjen automatisk.",
  live: "Direkte",
  connecting: "Koplar til …",
  lost: (time, duration) =>
    `Sambandet har vore brote sidan ${time} (i ${duration}). Koplar til igjen automatisk.`,
  files: (every_s) =>
    every_s === 1
      ? "Hentar tala som filer kvart sekund"
      : `Hentar tala som filer kvart ${number(every_s)}. sekund`,
  filesClosed: (time) => `Valet vart avslutta ${time}. Tala blir ikkje endra lenger.`,
  filesBehind: (time, duration) =>
    `Filene med tala er ikkje oppdaterte sidan ${time} (i ${duration}). Sida ser etter nye automatisk.`,
  announceFilesBehind: "Filene med tala blir ikkje oppdaterte. Sida ser etter nye automatisk.",
  announceLost: "Sambandet er brote. Sida koplar til igjen automatisk.",
  announceRestored: "Sambandet er oppretta igjen.",
  published: (ago) => `Sist publisert for ${ago} sidan`,
  nothingPublished: "Ingenting er publisert enno",
  lag: (duration) => `${duration} frå publisering til skjerm`,
  silentFor: (duration) => `ingenting motteke på ${duration}`,
  dataAge: (time, duration) => `tala er frå ${time}, for ${duration} sidan`,

  embargoTitle: "Resultata blir offentleggjorde om",
  hidden: "skjult",
  hiddenUntil: (time) => `skjult til ${time}`,
  embargoUntil: (time) =>
    `Alt er skjult til ${time}: verken tal eller noko anna av det som er meldt inn, blir vist før det.`,
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
  unitsChecked: (n) =>
    `${count(n, "teljestad blir kontrollert", "teljestader blir kontrollerte")}: dei nyaste tala derifrå er ikkje med enno.`,
  sharesTitle: "Oppslutning",
  noVotes: "Ingen røyster er talde opp enno.",
  others: "Andre",
  parties: (n) => count(n, "parti", "parti"),
  votes: (n) => count(n, "røyst", "røyster"),
  ballots: (n) => count(n, "røystesetel", "røystesetlar"),
  allParties: "Vis alle parti",
  fewerParties: "Vis færre parti",

  correctionsTitle: (n) => count(n, "retting", "rettingar"),
  correctionsWhy: "Når eit tal går ned, har kommunen retta det. Dei største rettingane kjem først.",
  correctionsBefore: (n) =>
    `${count(n, "retting vart gjord", "rettingar vart gjorde")} før resultata vart offentleggjorde, ` +
    "av tal som aldri var offentlege.",
  correctionChange: (before, after, change) =>
    `${number(before)} → ${count(after, "røystesetel", "røystesetlar")} (${change})`,
  correctionMoved: (n, before, after) =>
    `${count(n, "røyst", "røyster")} færre for nokre parti, ` +
    (before === after ? "framleis " : `${number(before)} → `) +
    count(after, "røystesetel", "røystesetlar"),
  correctionPublic: (duration, time) => `offentleg i ${duration}, til ${time}`,
  correctionsRest: (n) => count(n, "retting til", "rettingar til"),
  correctionGroup: (n, change) => `${count(n, "kommune", "kommunar")}, ${change} røystesetlar`,
  download: "Last ned",
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
  looksLike: (words) => `; det ser ut som: ${words}`,
  explanations: {
    duplicate_withdrawn: (unit) => `ei oppteljing frå ${unit} som òg var ført her, er trekt tilbake`,
    exchanged: () => "røystene til to parti var bytte om",
    moved: (unit, ballots) =>
      ballots < 0 ? `flytt til ${unit}` : ballots > 0 ? `flytt frå ${unit}` : `flytt til eller frå ${unit}`,
    restated: () => "dei tidlegare tala vart melde på nytt",
    counted_elsewhere: () => "talt ein annan stad",
    status_back: () => "teljinga er opna igjen",
    counted_again: () => "talt på nytt",
    more_counted: () => "fleire røystesetlar talt",
  },

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

  byChange: (time) => `Endring sidan ${time}`,
  byParty: "Parti som blir vist",
  swingTitle: (party, time) => `${party}: endring sidan ${time}, etter kommune`,
  swingSummary: (party, up, down, n, time) =>
    `${party} går fram i ${number(up)} og tilbake i ${number(down)} av ${count(n, "kommune", "kommunar")} sidan ${time}. I prosentpoeng:`,
  swingNobody: (party, time) => `Det er ingen tal enno som kan samanlikne ${party} med ${time}.`,
  swingBelow: (points) => `${points} eller lågare`,
  swingAbove: (points) => `${points} eller høgare`,
  swingRange: (low, high) => `${low} til ${high}`,
  swingRises: "Størst framgang:",
  swingFalls: "Størst tilbakegang:",
  swingNone: "inga samanlikning",

  isNew: "ny",
  isNewInWords: (time) => `stilte ikkje her i ${time}`,
  pointsSince: (points, time) => `${points} prosentpoeng sidan ${time}`,
  comparedUnit: (time) => `Endringane er i prosentpoeng, samanlikna med den same teljestaden i ${time}.`,
  comparedSame: (time) => `Endringane er i prosentpoeng, samanlikna med dei same teljestadene i ${time}.`,
  comparedWhole: (whole, time) => `Endringane er i prosentpoeng, samanlikna med ${whole} i ${time}.`,
  comparedEarly: "Ikkje alt her er talt opp: noko av endringa kan kome av kva for stader som er talde først.",
  comparedNone: (time) => `Det er ingen tal frå ${time} å samanlikne med her.`,
  wholeOf: { country: "heile landet", county: "heile fylket", municipality: "heile kommunen" },
  wholeArea: "heile området",
  basisSame: "samanlikna med dei same teljestadene",
  basisWhole: "samanlikna med heile området, før alt er talt",
  changeNote: (time) => `Ved sida av prosentdelane: endringa i prosentpoeng sidan ${time}.`,
  changeNotePartial: "Med stjerne: samanlikna med heile området, sjølv om ikkje alt er talt opp.",

  nightTitle: "Natta slik ho var",
  nightWhy: "Gå tilbake til eit kva som helst tidspunkt i oppteljinga, eller spel av heile på eitt minutt.",
  nightNow: "No",
  nightWaiting: "Slik det var",
  nightAt: (moment) => `Slik det var ${moment}`,
  nightBefore: "Slik det var før den første publiseringa",
  nightOf: (n, total) => `etter ${number(n)} av ${count(total, "publisering", "publiseringar")}`,
  nightLive: "Tilbake til direkte",
  nightPlay: "Spel av natta",
  nightPause: "Pause",
  nightSlider: "Tidspunkt på valnatta",
  nightPrevious: "Éi publisering tilbake",
  nightNext: "Éi publisering fram",
  nightReading: (share) => `Les den offentlege journalen … ${share}`,
  nightNote:
    "Tala blir summerte i nettlesaren din, frå den offentlege journalen. Lister over rettingar og forklaringar på dei, " +
    "tal som blir kontrollerte, mandat og nedlastingar blir berre viste direkte.",
  nightVerified: (n) =>
    `Kjeda gjennom alle ${number(n)} publiseringar er kontrollert: ingen manglar eller er endra.`,
  nightUnverified:
    "Kjeda gjennom journalen er ikkje kontrollert: det kan nettlesarar berre gjere over HTTPS.",
  nightTroubles: {
    waiting: "Den offentlege journalen kan ikkje lesast akkurat no. Sida prøver igjen.",
    broken:
      "Den offentlege journalen stemmer ikkje med si eiga kjede, eller er ikkje den som dei direkte tala kjem frå. Tidlegare tidspunkt blir ikkje viste.",
    large: "Den offentlege journalen for dette valet er for stor til å summerast i ein nettlesar.",
    unsupported:
      "Den offentlege journalen kan ikkje summerast her. Last sida på nytt, eller prøv ein nyare nettlesar.",
  },

  embedTitle: "Bruk på eiga nettside",
  embedWhy:
    "Lim inn koden der resultatet skal stå. Ramma viser direkte tal, lagrar ingenting og er like høg som innhaldet.",
  embedWhat: "Innhald",
  embedWhole: "Alle resultat",
  embedCopy: "Kopier koden",
  embedCopied: "Koden er kopiert.",
  embedParts: {
    summary: "Nøkkeltal og parti",
    parties: "Parti",
    figures: "Nøkkeltal",
    "summary,table": "Nøkkeltal, parti og områda under",
    table: "Områda under",
    corrections: "Rettingar",
    seats: "Mandat",
  },
  kioskChanges: "Siste tal",
  kioskTiles: "Største parti i kommunane",
  kioskCounted: "Del talt opp etter kommune",

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
  unknownPart: (part, parts) => `Delen «${part}» finst ikkje; show= tek imot ${parts}.`,
  notInFiles:
    "Det finst ingen filer med tala for dette området til rammer. Følg lenkja til alle resultata for å sjå dei.",
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

  throughTitle: "Kvar er teljingane?",
  sentencePublished: (toCome, units) =>
    toCome
      ? `Alt som er motteke, er publisert; ${count(toCome, "teljestad", "teljestader")} står att.`
      : `Alt som er motteke, er publisert; ${units === 1 ? "teljestaden" : `alle ${number(units)} teljestader`} har tal.`,
  sentenceUnderWay: (n, toCome) =>
    `${count(n, "motteken teljing", "mottekne teljingar")} blir publisert no; ` +
    `${count(toCome, "teljestad", "teljestader")} står att.`,
  sentencePublishedElse: (toCome) =>
    `Alt anna som er motteke, er publisert${toCome ? `; ${count(toCome, "teljestad", "teljestader")} står att` : ""}.`,
  sentenceChecked: (n) => `${count(n, "teljestad blir kontrollert", "teljestader blir kontrollerte")}. `,
  sentenceSlowest: (name, duration) => ` Tregast dei siste ti minutta: ${name}, ${duration}.`,
  sentenceNothing: "Ingen teljingar er mottekne enno.",
  sentenceWaits: (n, name, duration) =>
    `${count(n, "teljing", "teljingar")} frå ${name} har venta i ${duration}.`,
  sentenceMoreWait: (n) => ` ${count(n, "annan kommune", "andre kommunar")} ventar òg.`,
  sentenceEmbargo: (time, left) =>
    `Skjult til ${time}, om ${left}: ingenting av det kommunane har sendt inn, blir vist før det.`,
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
  whichChecked: "Blir kontrollerte",
  whichIncomplete: "Manglar teljestader",
  whichSilent: "Har aldri vore i kontakt",
  colToCome: "Står att",
  colAccepted: "Motteke",
  colChecked: "Blir kontrollerte",
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
    [
      "Blir kontrollerte",
      "Teljestader der den nyaste meldinga blir halden tilbake til ein person til har kontrollert ho, og kor lenge den " +
        "eldste har venta.",
    ],
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

  countLead:
    "Lim inn rader frå reknearket eller vel ei fil. Du ser kva som blir endra, før noko blir sendt, og får " +
    "kvitteringar du kan ta vare på.",
  signInTitle: "1. Logg inn",
  electionId: "ID-en til valet",
  signIn: "Hald fram",
  tokenWhy:
    "Tokenet ligg berre i minnet på denne sida. Det blir aldri lagra, og blir berre sendt til tenesta du har opna.",
  tokenEmpty: "Skriv eller lim inn tokenet.",
  electionEmpty: "Skriv ID-en til valet. Han står i adressa du har fått, etter «?election=».",
  otherElection: (id) =>
    `Sida har teljingar for valet «${id}». Last inn sida på nytt for å logge inn til eit anna val.`,
  badToken:
    "Tokenet er ikkje gyldig for dette valet. Lim det inn på nytt, heile, utan mellomrom; er det framleis feil, be " +
    "valleiinga om eit nytt.",
  badTokenKept:
    "Tokenet er ikkje gyldig lenger. Teljingane er framleis her på sida: be valleiinga om eit nytt token, lim det inn, " +
    "og hald fram.",
  noAnswerYet: "Ingen kontakt med mottakstenesta. Sjekk nettet, og prøv igjen. Ingenting er sendt.",
  busy: "Mottakstenesta er oppteken. Vent litt, og prøv igjen.",
  signedIn: (election, place, units) =>
    `Logga inn: ${election}, ${place} (${count(units, "teljestad", "teljestader")}).`,
  signedInToRead: (election, place, units) =>
    `Logga inn for å lese: ${election}, ${place} (${count(units, "teljestad", "teljestader")}). Dette tokenet kan ikkje ` +
    "sende inn teljingar.",
  acceptTooMany: (n) =>
    `${number(n)} slike feil er for mange til å godkjennast. Er det rett fil? Ingenting er sendt.`,
  severalMunicipalities: (n) => count(n, "kommune", "kommunar"),
  fileTitle: "2. Lim inn eller vel ei fil",
  fileWhy:
    "Merk radene i reknearket, med overskriftene, kopier dei, og lim dei inn her. Eller vel sjølve fila: .xlsx, .csv, " +
    ".json, .ndjson eller .xml (EML 510), høgst 8 MiB. Fila blir lesen akkurat som av «valgnatt push».",
  template: "Last ned ein tom tabell",
  pasteLabel: "Rader frå reknearket",
  fileLabel: "Eller vel ei fil",
  check: "Kontroller",
  checkAgain: "Kontroller på nytt",
  checking: "Les og kontrollerer …",
  checkBusy: (time) => `Mottakstenesta har vore oppteken sidan ${time}. Prøver igjen …`,
  checkNoAnswer: (time) =>
    `Ingen kontakt med mottakstenesta sidan ${time}. Prøver igjen. Ingenting er sendt, og teljingane er framleis her.`,
  fileMissing: "Lim inn rader eller vel ei fil først.",
  fileUnknown: "Filtypen er ukjend. Bruk .xlsx, .csv, .tsv, .txt, .json, .ndjson eller .xml.",
  fileTooLarge: "Meir enn 8 MiB. Del innhaldet på fleire filer, og send dei éi etter éi.",
  fileRefused: {
    too_large: "Meir enn 8 MiB. Del innhaldet på fleire filer, og send dei éi etter éi.",
    too_costly: "Det tek for lang tid å lese fila. Del henne på fleire filer, og send dei éi etter éi.",
    unknown_election: "Valet finst ikkje lenger.",
    malformed: "Fila kom ikkje heilt fram. Kontroller på nytt.",
  },
  fileWrong: (n) => `${count(n, "feil", "feil")}. Ingenting er sendt.`,
  fileKept: "Rett opp, og kontroller på nytt.",
  showLine: (line) => `Vis linje ${line}`,
  showCell: (line, column) => `Vis linje ${line}, kolonne ${column}`,
  previewTitle: "3. Sjå over",
  previewSummary: (n, first, replaced, same) =>
    `${count(n, "teljing", "teljingar")}: ${number(first)} ${noun(first, "ny", "nye")}, ${number(replaced)} ` +
    `erstattar ei tidlegare, ${number(same)} utan verknad. Ingenting er sendt enno.`,
  previewCaption: "Teljingane i fila ved sida av det som er motteke før. Dei mest uvanlege står først.",
  emptyUnits: (n) => `${count(n, "teljestad", "teljestader")} utan tal er utelatne.`,
  moreReports: (n) => `og ${count(n, "teljing", "teljingar")} til`,
  moreUnits: (n) => `og ${count(n, "teljestad", "teljestader")} til`,
  wouldHold: (n) =>
    `Slik tala er no, ville ${count(n, "teljing", "teljingar")} bli ${noun(n, "halden", "haldne")} tilbake: ` +
    `${noun(n, "ho", "dei")} får kvittering, men blir ${noun(n, "kontrollert", "kontrollerte")} før ` +
    `${noun(n, "ho blir publisert", "dei blir publiserte")}. Sjå over tala ein gong til. Mottaket samanliknar med ` +
    "fleire teljingar enn sida kan, og reglane kan vere endra.",
  heldBecause: (why) => `Ville bli halden tilbake. ${why}`,
  heldForThis: "Teljinga ville bli halden tilbake.",
  redLinesTitle: "Dette er nesten aldri rett",
  acceptWord: "JA",
  acceptLabel: (word) => `Er tala likevel rette? Skriv ${word} for å kunne sende dei.`,
  acceptMissing: (word) => `Skriv ${word} dersom tala er rette. Elles: rett opp fila. Ingenting er sendt.`,
  colFindings: "Verknad og merknader",
  effects: {
    first: "første teljing",
    replaces: "erstattar den førre",
    repeats: "uendra, allereie motteken",
    older: "eldre enn den gjeldande",
    unknown: "den førre teljinga er ukjend",
  },
  now: "no ",
  categoryMissing: "manglar no",
  categories: { advance: "Førehand", election_day: "Valting" },
  percent: (n) => `${number(n)} %`,
  findAboveEligible: (name, after, eligible) =>
    `${name} får ${count(after, "røystesetel", "røystesetlar")}, men har berre ` +
    `${number(eligible)} med røysterett.`,
  findUnitAboveEligible: (after, eligible) =>
    `${count(after, "røystesetel", "røystesetlar")}, men berre ${number(eligible)} med røysterett.`,
  findFell: (before, after) => `Talet på røystesetlar går ned frå ${number(before)} til ${number(after)}.`,
  findMissingCategory: (category, n) =>
    `${category} manglar, men hadde ${count(n, "røystesetel", "røystesetlar")} før.`,
  findMissingParties: (category, parties) =>
    `${category}: parti hadde røyster før og har ingen no: ${parties}.`,
  findVotesFell: (category, parties) => `${category}: parti har færre røyster enn før: ${parties}.`,
  findReason: (reasons) => `Er det ei retting, skriv årsaka i kolonnen «årsak»: ${reasons}.`,
  findStatusBack: (before, after) => `Statusen går tilbake frå «${before}» til «${after}».`,
  send: (n) => `Send ${count(n, "teljing", "teljingar")}`,
  sendingTitle: "4. Kvitteringar",
  sendingNow: (done, total) => `Sender: ${number(done)} av ${number(total)} er kvitterte for.`,
  sendingTrouble: (done, total, time) =>
    `Ingen kontakt med mottakstenesta sidan ${time}; ${number(done)} av ${number(total)} er kvitterte for. Sida prøver ` +
    "igjen til det går. Lat ho vere open. Det er trygt å sende på nytt: ingenting blir talt to gonger.",
  sendingDone: (n) =>
    n === 1
      ? "Teljinga er motteken og kvittert for."
      : `Alle ${number(n)} teljingane er mottekne og kvitterte for.`,
  sendingRefused: (done, refused, left) =>
    `${number(done)} kvitterte for, ${number(refused)} avviste, ${number(left)} ikkje sende. Sjå kvifor nedanfor.`,
  sendingToken: (n) =>
    `Tokenet er ikkje gyldig lenger. ${count(n, "teljing", "teljingar")} utan kvittering er framleis her på sida.`,
  sendingEnded: (status, detail) => `Mottakstenesta tek ikkje imot (${status}). ${detail}`,
  receiptsCaption: "Svaret på kvar teljing",
  colAnswer: "Svar",
  answerWaits: "ventar",
  answerNotSent: "ikkje send, fordi ei tidlegare teljing av teljestaden vart avvist",
  answerStates: {
    embargoed: "motteken, blir offentleggjord seinare",
    published: "motteken og publisert",
    held: "motteken, blir kontrollert før ho blir publisert",
    rejected: "avvist etter kontroll; send ei retta teljing",
    superseded: "erstatta av ei nyare teljing før ho vart publisert",
  },
  answerDuplicate: "var allereie motteken",
  refusals: {
    stale_revision: "Ei anna teljing av teljestaden kom først. Kontroller på nytt.",
    revision_conflict: "Ei anna teljing av teljestaden kom først. Kontroller på nytt.",
    election_closed: "Valet er avslutta. Ta kontakt med valleiinga.",
    unit_forbidden: "Tokenet gjeld ikkje denne teljestaden.",
    invalid_report: "Teljinga er ikkje gyldig.",
    token_revoked: "Tokenet er trekt tilbake. Ta kontakt med valleiinga.",
  },
  refusedFor: (code) => `Avvist (${code}).`,
  downloadCsv: "Last ned kvitteringane (CSV)",
  downloadJson: "Last ned kvitteringane (JSON)",
  ownCountsTitle: "Mine teljingar",
  ownSummary: (reported, total, embargoed) =>
    `${number(reported)} av ${count(total, "teljestad", "teljestader")} har ei motteken teljing` +
    `${embargoed ? `; ${number(embargoed)} blir offentleggjorde seinare` : ""}.`,
  ownStale: (time) => `Ingen kontakt; dette er frå ${time}.`,

  operatorPage: "Driftstavle",
  boardShow: "Vis tavla",
  boardWhy:
    "Tavla viser kva systema i kvar kommune har gjort, også før tala er offentlege. Ho krev eit token for " +
    "operatørar, som berre finst i minnet til denne sida og berre blir sendt hit.",
  boardElection: "ID-en til valet",
  boardToken: "Token",
  boardTokenRefused: "Tokenet er ikkje gyldig for dette valet. Sjekk valet og tokenet.",
  boardNotOperator: "Dette er eit token for ein avsendar. Tavla krev eit token med rolla operator.",
  boardNoDatabase: "Databasen svarer ikkje. Sida prøver igjen automatisk.",
  boardStale: (time, age) =>
    `Ikkje noko svar sidan ${time} (i ${age}). Det som er vist, er frå då. Sida prøver igjen automatisk.`,
  boardConnected: "Kommunar som har vore i kontakt",
  boardAccepted: "Mottekne meldingar",
  boardOldest: "Eldste teljing utan kvittering",
  boardRefusedTotal: "Avvisingar",
  boardNone: "ingen",
  boardEmbargoEnds: "Til sperrefristen er ute",
  boardReleasedAt: "Offentleg frå",
  boardClosedAt: "Stengt",
  boardProblems: (n) => count(n, "problem", "problem"),
  boardNoProblem: "Ingen problem",
  boardOverdue: (age, n) =>
    `Sperrefristen gjekk ut for ${age} sidan, men ${count(n, "melding er ikkje offentleggjord", "meldingar er ikkje offentleggjorde")}`,
  boardReceipts: (age, n) =>
    `Eldste teljing har venta i ${age} på kvittering (${count(n, "ventar", "ventar")})`,
  boardUnpublished: (age, n) =>
    `Eldste teljing har venta i ${age} på å bli offentleg (${count(n, "ventar", "ventar")})`,
  boardUnknown: (n) => `${count(n, "avvising", "avvisingar")} som ikkje høyrer til éin kommune`,
  boardRows: {
    refused: (n) =>
      `${count(n, "kommune er avvist", "kommunar er avviste")} og har ikkje sendt noko gyldig sidan`,
    expired: (n) => `${count(n, "kommune", "kommunar")} har berre utgåtte token`,
    noToken: (n) => `${count(n, "kommune", "kommunar")} har ikkje noko token`,
    never: (n) => `${count(n, "kommune", "kommunar")} har aldri vore i kontakt`,
    silent: (n) => `${count(n, "kommune har vore taus", "kommunar har vore tause")} for lenge`,
  },
  boardEarly: (time) => `(ingen treng å melde før ${time})`,
  boardMore: (n) => `og ${number(n)} til`,
  boardShowThem: "Vis dei i tabellen",
  boardSilentAfter: "Taus etter (minutt)",
  boardCaption: "Kvar kommune: tilstand, sist høyrt frå, avvisingar og token; dei som treng hjelp, først",
  boardState: "Tilstand",
  boardHeard: "Sist høyrt frå",
  boardReported: "Teljestader med tal",
  boardRefused: "Avvist",
  boardTokens: "Token",
  boardRevoke: (token) => `Kopier «token revoke ${token}»`,
  boardStates: {
    refused: "avvist",
    expired: "token utgått",
    noToken: "utan token",
    never: "aldri i kontakt",
    silent: "taus",
    reporting: "melder",
    done: "alt meldt",
    closed: "stengt",
  },
  boardActs: "Medvitne handlingar",
  boardActsWhy:
    "Bortsett frå avgjerder om tilbakehaldne meldingar kan sida berre lese. Desse kommandoane blir køyrde på ei maskin med tilgang til databasen; les dei før du køyrer dei.",
  boardPostpone: "Utset sperrefristen ein halv time. Han kan ikkje flyttast tilbake.",
  boardClose: "Steng valet. Ingen fleire meldingar blir tekne imot, og det kan ikkje angrast.",
  boardCopy: "Kopier",
  boardCopied: (line) => `Kopiert: ${line}`,
  boardNotCopied: (line) => `Nettlesaren lèt ikkje sida kopiere. Kommandoen er: ${line}`,
});
