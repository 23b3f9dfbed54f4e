// The texts in English.

/** @import { Language } from "../texts.js" */

export const NAME = "English";
export const LOCALES = ["en-GB"];

/** @type {Language["texts"]} */
export const texts = ({ number, noun, count, times }) => ({
  language: "Language",
  skip: "Skip to content",
  nav: "Pages",
  results: "Results",
  transfers: "Transfers",
  api: "API",
  verify: "Verify",
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
  footFiles:
    "This page reads open files with the results, the same ones that everyone can read. " +
    "Figures are always the sum of what the counting units have reported.",

  noElection: "No election has been loaded yet.",
  unknownElection: (id) => `There is no election “${id}” here.`,
  noAnswer: "The service is not responding. This page will keep trying.",
  live: "Live",
  connecting: "Connecting …",
  lost: (time, duration) => `Connection lost at ${time} (${duration} ago). Reconnecting automatically.`,
  files: (every_s) =>
    every_s === 1
      ? "Reading the figures from files every second"
      : `Reading the figures from files every ${number(every_s)} seconds`,
  filesClosed: (time) => `The election was closed at ${time}. These figures no longer change.`,
  filesBehind: (time, duration) =>
    `The files with the figures have not been updated since ${time} (${duration}). This page will keep looking for new ones.`,
  announceFilesBehind:
    "The files with the figures are not being updated. This page will keep looking for new ones.",
  announceLost: "The connection is lost. The page is reconnecting automatically.",
  announceRestored: "The connection is back.",
  published: (ago) => `Last published ${ago} ago`,
  nothingPublished: "Nothing has been published yet",
  lag: (duration) => `${duration} from publication to screen`,
  silentFor: (duration) => `nothing received for ${duration}`,
  dataAge: (time, duration) => `figures as of ${time}, ${duration} ago`,

  embargoTitle: "Results will be published in",
  hidden: "hidden",
  hiddenUntil: (time) => `hidden until ${time}`,
  embargoUntil: (time) =>
    `Everything is hidden until ${time}: neither figures nor anything else that has been reported is shown before.`,
  embargoNow: "Results are being published …",
  announceReleased: "The results have been published.",
  announceCounted: (share) => `${share} of units have reported.`,

  unitsCounted: "Units reporting",
  ofUnits: (n, share) => `of ${number(n)} · ${share}`,
  turnout: "Turnout so far",
  ofEligible: (ballots, eligible) => `${count(ballots, "ballot", "ballots")} · ${number(eligible)} eligible`,
  votesCounted: "Valid votes",
  besides: (blank, rejected) => `${number(blank)} blank · ${number(rejected)} rejected`,
  unitsChecked: (n) =>
    `${count(n, "unit is", "units are")} being checked: ${n === 1 ? "its" : "their"} latest figures are not included yet.`,
  sharesTitle: "Party shares",
  noVotes: "No votes have been counted yet.",
  others: "Others",
  parties: (n) => count(n, "party", "parties"),
  votes: (n) => count(n, "vote", "votes"),
  ballots: (n) => count(n, "ballot", "ballots"),
  allParties: "Show all parties",
  fewerParties: "Show fewer parties",

  correctionsTitle: (n) => count(n, "correction", "corrections"),
  correctionsWhy:
    "When a figure goes down, the municipality has corrected it. The largest corrections come first.",
  correctionsBefore: (n) =>
    `${count(n, "correction was made", "corrections were made")} under embargo, of figures that were never public.`,
  correctionChange: (before, after, change) =>
    `${number(before)} → ${count(after, "ballot", "ballots")} (${change})`,
  correctionMoved: (n, before, after) =>
    `${count(n, "vote", "votes")} fewer for some parties, ` +
    (before === after ? "still " : `${number(before)} → `) +
    count(after, "ballot", "ballots"),
  correctionPublic: (duration, time) => `public for ${duration}, until ${time}`,
  correctionsRest: (n) => count(n, "more correction", "more corrections"),
  correctionGroup: (n, change) => `${count(n, "municipality", "municipalities")}, ${change} ballots`,
  download: "Download",
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
  looksLike: (words) => `; it looks like: ${words}`,
  explanations: {
    duplicate_withdrawn: (unit) => `a count of ${unit} that was also entered here is withdrawn`,
    exchanged: () => "the votes of two parties were exchanged",
    moved: (unit, ballots) =>
      ballots < 0 ? `moved to ${unit}` : ballots > 0 ? `moved from ${unit}` : `moved to or from ${unit}`,
    restated: () => "the earlier figures were reported again",
    counted_elsewhere: () => "counted elsewhere",
    status_back: () => "counting was reopened",
    counted_again: () => "counted again",
    more_counted: () => "more ballots counted",
  },

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

  byChange: (time) => `Change since ${time}`,
  byParty: "Party whose change is shown",
  swingTitle: (party, time) => `${party}: change since ${time}, by municipality`,
  swingSummary: (party, up, down, n, time) =>
    `${party} is up in ${number(up)} and down in ${number(down)} of ${count(n, "municipality", "municipalities")} since ${time}. In percentage points:`,
  swingNobody: (party, time) => `There are no figures yet that compare ${party} with ${time}.`,
  swingBelow: (points) => `${points} or lower`,
  swingAbove: (points) => `${points} or higher`,
  swingRange: (low, high) => `${low} to ${high}`,
  swingRises: "Largest rise:",
  swingFalls: "Largest fall:",
  swingNone: "no comparison",

  isNew: "new",
  isNewInWords: (time) => `did not stand here in ${time}`,
  pointsSince: (points, time) => `${points} percentage points since ${time}`,
  comparedUnit: (time) =>
    `Changes are in percentage points, compared with the same polling district in ${time}.`,
  comparedSame: (time) =>
    `Changes are in percentage points, compared with the same polling districts in ${time}.`,
  comparedWhole: (whole, time) => `Changes are in percentage points, compared with ${whole} in ${time}.`,
  comparedEarly:
    "Not everything here has been counted: part of the change may come from which places have been counted first.",
  comparedNone: (time) => `There are no figures from ${time} to compare with here.`,
  wholeOf: {
    country: "the whole of the country",
    county: "the whole of the county",
    municipality: "the whole of the municipality",
  },
  wholeArea: "the whole of the area",
  basisSame: "compared with the same polling districts",
  basisWhole: "compared with the whole, before everything is counted",
  changeNote: (time) => `Beside the shares: the change in percentage points since ${time}.`,
  changeNotePartial:
    "With an asterisk: compared with the whole of the area, although not all of it has been counted.",

  nightTitle: "The night as it was",
  nightWhy: "Go back to any moment of the count, or play all of it in a minute.",
  nightNow: "Now",
  nightWaiting: "As it was",
  nightAt: (moment) => `As it was at ${moment}`,
  nightBefore: "As it was before the first publication",
  nightOf: (n, total) => `after ${number(n)} of ${count(total, "publication", "publications")}`,
  nightLive: "Back to live",
  nightPlay: "Play the night",
  nightPause: "Pause",
  nightSlider: "Moment of the night",
  nightPrevious: "One publication back",
  nightNext: "One publication forward",
  nightReading: (share) => `Reading the public record … ${share}`,
  nightNote:
    "The figures are added up in your browser from the public record. Lists and explanations of corrections, " +
    "figures being checked, seats and downloads are shown only live.",
  nightVerified: (n) =>
    `The chain of all ${number(n)} publications has been verified: none is missing or changed.`,
  nightUnverified: "The chain of the record has not been verified: browsers can do this on HTTPS only.",
  nightTroubles: {
    waiting: "The public record cannot be read right now. The page will try again.",
    broken:
      "The public record does not match its own chain, or is not the one that the live figures come from. Earlier moments are not shown.",
    large: "The public record of this election is too large to be added up in a browser.",
    unsupported: "The public record cannot be added up here. Load the page again, or try a newer browser.",
  },

  embedTitle: "Use on your own site",
  embedWhy:
    "Paste the code where the result is to appear. The frame shows live figures, stores nothing, and is as high as its content.",
  embedWhat: "Content",
  embedWhole: "All results",
  embedCopy: "Copy the code",
  embedCopied: "The code has been copied.",
  embedParts: {
    summary: "Key figures and parties",
    parties: "Parties",
    figures: "Key figures",
    "summary,table": "Key figures, parties and the areas below",
    table: "The areas below",
    corrections: "Corrections",
    seats: "Seats",
  },
  kioskChanges: "Latest figures",
  kioskTiles: "Leading party by municipality",
  kioskCounted: "Share of units reporting by municipality",

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
  unknownPart: (part, parts) => `There is no part “${part}”; show= takes ${parts}.`,
  notInFiles:
    "There are no files with the figures of this area for frames. Follow the link to all results to see them.",
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

  throughTitle: "Where are the counts?",
  sentencePublished: (toCome, units) =>
    toCome
      ? `Everything received is published; ${count(toCome, "unit", "units")} to come.`
      : `Everything received is published; ${units === 1 ? "the unit has" : `all ${number(units)} units have`} reported.`,
  sentenceUnderWay: (n, toCome) =>
    `${count(n, "count", "counts")} received and being published; ${count(toCome, "unit", "units")} to come.`,
  sentencePublishedElse: (toCome) =>
    `Everything else received is published${toCome ? `; ${count(toCome, "unit", "units")} to come` : ""}.`,
  sentenceChecked: (n) => `${count(n, "unit is", "units are")} being checked. `,
  sentenceSlowest: (name, duration) => ` Slowest in the last 10 minutes: ${name}, ${duration}.`,
  sentenceNothing: "No counts have been received yet.",
  sentenceWaits: (n, name, duration) =>
    `${count(n, "count", "counts")} from ${name} ${noun(n, "has", "have")} been waiting for ${duration}.`,
  sentenceMoreWait: (n) => ` ${count(n, "other municipality is", "other municipalities are")} waiting too.`,
  sentenceEmbargo: (time, left) =>
    `Hidden until ${time}, in ${left}: nothing that municipalities have sent is shown before then.`,
  sentenceEmbargoOwn: (n, counts) =>
    `${count(n, "municipality is", "municipalities are")} waiting for the end of the embargo, with ` +
    `${count(counts, "count", "counts")} received.`,
  sentenceReleasing: "Results are being published …",
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
  whichChecked: "Being checked",
  whichIncomplete: "With units remaining",
  whichSilent: "Never in contact",
  colToCome: "Remaining",
  colAccepted: "Accepted",
  colChecked: "Being checked",
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
  hours: "h",
  wordsTitle: "What the words mean",
  words: [
    ["Remaining", "Units from which no report has been published yet."],
    ["Accepted", "Reports that are stored durably and have a receipt."],
    [
      "Being checked",
      "Units whose latest report is held until a second person has checked it, and for how long the oldest has been.",
    ],
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
    "Before the results are published, a municipality can see its own counts with its token. The token is kept " +
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

  countLead:
    "Paste rows from your spreadsheet or choose a file. You see what changes before anything is sent, and get receipts " +
    "to keep.",
  signInTitle: "1. Sign in",
  electionId: "Identifier of the election",
  signIn: "Continue",
  tokenWhy:
    "The token is only in the memory of this page. It is never stored, and is sent only to the service that you have " +
    "opened.",
  tokenEmpty: "Type or paste the token.",
  electionEmpty:
    "Type the identifier of the election. It is in the address that you were given, after “?election=”.",
  otherElection: (id) => `The page has counts of the election “${id}”. Reload it to sign in to another one.`,
  badToken:
    "The token is not valid for this election. Paste it again, whole, without spaces; if it is still wrong, ask the " +
    "election authority for a new one.",
  badTokenKept:
    "The token is no longer valid. The counts are still on this page: ask the election authority for a new token, paste " +
    "it, and continue.",
  noAnswerYet: "The service does not answer. Check the network and try again. Nothing was sent.",
  busy: "The service is busy. Wait a moment and try again.",
  signedIn: (election, place, units) =>
    `Signed in: ${election}, ${place} (${count(units, "unit", "units")}).`,
  signedInToRead: (election, place, units) =>
    `Signed in to read: ${election}, ${place} (${count(units, "unit", "units")}). This token may not report counts.`,
  acceptTooMany: (n) =>
    `${number(n)} of these are too many to accept. Is it the right file? Nothing was sent.`,
  severalMunicipalities: (n) => count(n, "municipality", "municipalities"),
  fileTitle: "2. Paste or choose a file",
  fileWhy:
    "Select the rows in the spreadsheet, with their headings, copy them, and paste them here. Or choose the file itself: " +
    ".xlsx, .csv, .json, .ndjson or .xml (EML 510), at most 8 MiB. It is read exactly as “valgnatt push” reads it.",
  template: "Download an empty table",
  pasteLabel: "Rows from the spreadsheet",
  fileLabel: "Or choose a file",
  check: "Check",
  checkAgain: "Check again",
  checking: "Reading and checking …",
  checkBusy: (time) => `The service has been busy since ${time}. Trying again …`,
  checkNoAnswer: (time) =>
    `The service has not answered since ${time}. Trying again. Nothing was sent, and the counts are still here.`,
  fileMissing: "First paste rows or choose a file.",
  fileUnknown: "Unknown file type. Use .xlsx, .csv, .tsv, .txt, .json, .ndjson or .xml.",
  fileTooLarge: "More than 8 MiB. Divide it into several files, and send one after the other.",
  fileRefused: {
    too_large: "More than 8 MiB. Divide it into several files, and send one after the other.",
    too_costly:
      "Reading the file takes too long. Divide it into several files, and send one after the other.",
    unknown_election: "The election no longer exists.",
    malformed: "The file did not arrive completely. Check again.",
  },
  fileWrong: (n) => `${count(n, "mistake", "mistakes")}. Nothing was sent.`,
  fileKept: "Correct it and check again.",
  showLine: (line) => `Show line ${line}`,
  showCell: (line, column) => `Show line ${line}, column ${column}`,
  previewTitle: "3. Review",
  previewSummary: (n, first, replaced, same) =>
    `${count(n, "count", "counts")}: ${number(first)} new, ${number(replaced)} ` +
    `${noun(replaced, "replaces an earlier one", "replace earlier ones")}, ${number(same)} without effect. ` +
    "Nothing has been sent yet.",
  previewCaption: "The counts of the file beside what was received before. The most unusual ones come first.",
  emptyUnits: (n) => `${count(n, "unit", "units")} without figures left out.`,
  moreReports: (n) => `and ${count(n, "more count", "more counts")}`,
  moreUnits: (n) => `and ${count(n, "more unit", "more units")}`,
  wouldHold: (n) =>
    `With these figures, ${count(n, "count", "counts")} would be held: received, but checked before ` +
    `${noun(n, "it is", "they are")} published. Look at the figures once more. The gateway compares with more counts ` +
    "than this page can, and its rules may have been changed.",
  heldBecause: (why) => `Would be held. ${why}`,
  heldForThis: "The count would be held.",
  redLinesTitle: "This is almost never right",
  acceptWord: "YES",
  acceptLabel: (word) => `Are the figures right all the same? Type ${word} to be able to send them.`,
  acceptMissing: (word) =>
    `Type ${word} if the figures are right. Otherwise correct the file. Nothing was sent.`,
  colFindings: "Effect and remarks",
  effects: {
    first: "first count",
    replaces: "replaces the one before",
    repeats: "unchanged, received already",
    older: "older than the current one",
    unknown: "the one before is unknown",
  },
  now: "now ",
  categoryMissing: "missing now",
  categories: { advance: "Advance", election_day: "Election day" },
  percent: (n) => `${number(n)}%`,
  findAboveEligible: (name, after, eligible) =>
    `${name} gets ${count(after, "ballot", "ballots")} but has only ${count(eligible, "eligible voter", "eligible voters")}.`,
  findUnitAboveEligible: (after, eligible) =>
    `${count(after, "ballot", "ballots")} but only ${count(eligible, "eligible voter", "eligible voters")}.`,
  findFell: (before, after) => `The ballots fall from ${number(before)} to ${number(after)}.`,
  findMissingCategory: (category, n) =>
    `${category} is missing, but had ${count(n, "ballot", "ballots")} before.`,
  findMissingParties: (category, parties) =>
    `${category}: parties had votes before and have none now: ${parties}.`,
  findVotesFell: (category, parties) => `${category}: parties have fewer votes than before: ${parties}.`,
  findReason: (reasons) => `If it is a correction, write why in the column “reason”: ${reasons}.`,
  findStatusBack: (before, after) => `The status goes back from “${before}” to “${after}”.`,
  send: (n) => `Send ${count(n, "count", "counts")}`,
  sendingTitle: "4. Receipts",
  sendingNow: (done, total) => `Sending: ${number(done)} of ${number(total)} have a receipt.`,
  sendingTrouble: (done, total, time) =>
    `The service has not answered since ${time}; ${number(done)} of ${number(total)} have a receipt. The page keeps ` +
    "trying until it succeeds. Leave it open. Sending again is safe: nothing is counted twice.",
  sendingDone: (n) =>
    n === 1
      ? "The count was received and has its receipt."
      : `All ${number(n)} counts were received and have receipts.`,
  sendingRefused: (done, refused, left) =>
    `${number(done)} with a receipt, ${number(refused)} refused, ${number(left)} not sent. The reasons are below.`,
  sendingToken: (n) =>
    `The token is no longer valid. ${count(n, "count", "counts")} without a receipt ` +
    `${noun(n, "is", "are")} still on this page.`,
  sendingEnded: (status, detail) => `The service does not accept this (${status}). ${detail}`,
  receiptsCaption: "The answer to each count",
  colAnswer: "Answer",
  answerWaits: "waiting",
  answerNotSent: "not sent, as an earlier count of the unit was refused",
  answerStates: {
    embargoed: "received, will be published later",
    published: "received and published",
    held: "received, and checked before it is published",
    rejected: "rejected after a check; send a corrected count",
    superseded: "replaced by a newer count before it was published",
  },
  answerDuplicate: "had been received already",
  refusals: {
    stale_revision: "Another count of the unit was quicker. Check again.",
    revision_conflict: "Another count of the unit was quicker. Check again.",
    election_closed: "The election is closed. Contact the election authority.",
    unit_forbidden: "The token is not for this unit.",
    invalid_report: "The count is not valid.",
    token_revoked: "The token was revoked. Contact the election authority.",
  },
  refusedFor: (code) => `Refused (${code}).`,
  downloadCsv: "Download the receipts (CSV)",
  downloadJson: "Download the receipts (JSON)",
  ownCountsTitle: "My counts",
  ownSummary: (reported, total, embargoed) =>
    `${number(reported)} of ${count(total, "unit", "units")} ${noun(reported, "has", "have")} a received count` +
    `${embargoed ? `; ${number(embargoed)} will be published later` : ""}.`,
  ownStale: (time) => `No answer; this is from ${time}.`,

  operatorPage: "Operator's board",
  boardShow: "Show the board",
  boardWhy:
    "The board shows what every municipality's systems have done, also before figures are public. It needs an " +
    "operator's token, which exists only in the memory of this page and is sent only to this server.",
  boardElection: "Identifier of the election",
  boardToken: "Token",
  boardTokenRefused: "The token is not valid for this election. Check the election and the token.",
  boardNotOperator: "This is a sender's token. The board needs a token of role operator.",
  boardNoDatabase: "The database does not answer. The page tries again automatically.",
  boardStale: (time, age) =>
    `No answer since ${time} (for ${age}). What is shown is from then. The page tries again automatically.`,
  boardConnected: "Municipalities heard from",
  boardAccepted: "Reports received",
  boardOldest: "Oldest count without a receipt",
  boardRefusedTotal: "Refusals",
  boardNone: "none",
  boardEmbargoEnds: "Until the embargo ends",
  boardReleasedAt: "Public since",
  boardClosedAt: "Closed",
  boardProblems: (n) => count(n, "problem", "problems"),
  boardNoProblem: "No problems",
  boardOverdue: (age, n) =>
    `The embargo ended ${age} ago, but ${count(n, "report is", "reports are")} not published`,
  boardReceipts: (age, n) =>
    `The oldest count has waited ${age} for its receipt (${count(n, "waits", "wait")})`,
  boardUnpublished: (age, n) =>
    `The oldest count has waited ${age} to become public (${count(n, "waits", "wait")})`,
  boardUnknown: (n) =>
    `${count(n, "refusal that belongs", "refusals that belong")} to no single municipality`,
  boardRows: {
    refused: (n) =>
      `${count(n, "municipality was", "municipalities were")} refused and sent nothing valid since`,
    expired: (n) => `${count(n, "municipality has", "municipalities have")} only expired tokens`,
    noToken: (n) => `${count(n, "municipality has", "municipalities have")} no token`,
    never: (n) => `${count(n, "municipality has", "municipalities have")} never been in contact`,
    silent: (n) => `${count(n, "municipality has", "municipalities have")} been silent for too long`,
  },
  boardEarly: (time) => `(nobody has to report before ${time})`,
  boardMore: (n) => `and ${number(n)} more`,
  boardShowThem: "Show them in the table",
  boardSilentAfter: "Silent after (minutes)",
  boardCaption: "Every municipality: state, last heard from, refusals and tokens; those that need help first",
  boardState: "State",
  boardHeard: "Last heard from",
  boardReported: "Units reported",
  boardRefused: "Refused",
  boardTokens: "Tokens",
  boardRevoke: (token) => `Copy “token revoke ${token}”`,
  boardStates: {
    refused: "refused",
    expired: "token expired",
    noToken: "without a token",
    never: "never in contact",
    silent: "silent",
    reporting: "reporting",
    done: "all reported",
    closed: "closed",
  },
  boardActs: "Deliberate acts",
  boardActsWhy:
    "Apart from decisions about held reports, this page only reads. These commands are run on a machine that reaches the database; read them before you run them.",
  boardPostpone: "Postpone the end of the embargo by half an hour. It cannot be moved back.",
  boardClose: "Close the election. No more reports are accepted, and this cannot be undone.",
  boardCopy: "Copy",
  boardCopied: (line) => `Copied: ${line}`,
  boardNotCopied: (line) => `The browser does not let this page copy. The command is: ${line}`,
});
