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
  ballots: (n) => count(n, "ballot", "ballots"),
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
  hours: "h",
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
