// The texts about held reports in English.

/** @import { Sentences } from "../hold_sentences.js" */
/** @import { HoldTexts } from "../hold_texts.js" */
/** @import { Figures } from "../texts.js" */
/** @import { Evidence } from "../../push_documents" */

/**
 * @param {Figures} figures
 * @returns {HoldTexts}
 */
export const texts = ({ number, signed, noun, count, both, sentence }) => {
  const ballots = (/** @type {number} */ n) => count(n, "ballot", "ballots");
  const votes = (/** @type {number} */ n) => count(n, "vote", "votes");
  const kind = (/** @type {string} */ category) => category.replaceAll("_", "-");
  const before = (/** @type {number} */ n) => (n ? ` (${number(n)} before)` : "");
  const fromTo = (/** @type {Evidence} */ e) =>
    `from ${number(e.before)} to ${number(e.after)} (${signed(e.after - e.before)})`;
  /** @type {Sentences[string]} */
  const duplicate = (e, { place }, unit) => {
    const own = count(e.ballots, `${kind(e.category)} ballot`, `${kind(e.category)} ballots`);
    const these = `${noun(e.ballots, "this", "these")} ${own}`;
    const equal = noun(e.ballots, "equals", "equal");
    const those = noun(e.ballots, "the one", "those");
    if (e.other === undefined) return `${these} ${equal} ${those} of an area that this token does not cover`;
    const sameKind = e.category === e.other_category;
    const twice = e.other === unit && sameKind;
    const others = sameKind
      ? `${those} of ${place(e.other)}`
      : `the ${kind(e.other_category)} ${noun(e.ballots, "ballot", "ballots")} of ${place(e.other)}`;
    const ownOthers = sameKind
      ? `${those} it had reported before`
      : `its own ${kind(e.other_category)} ${noun(e.ballots, "ballot", "ballots")}`;
    const what = e.other === unit ? ownOthers : others;
    const exactly = e.difference ? ` (${votes(e.difference)} of difference in all)` : ", party by party";
    return `${these} ${e.difference ? "nearly " : ""}${equal} ${what}${exactly}${twice ? ". Were they counted twice?" : ""}`;
  };
  return {
    title: (n) => (n ? `${count(n, "report", "reports")} ${noun(n, "is", "are")} held` : "No report is held"),
    oldest: (age) => `The oldest has waited for ${age}. Call the municipality, then decide.`,
    mostOpen: (most) => `The limit of ${number(most)} is reached: new reports pass with a warning only.`,
    embargoed: (time) =>
      `Under embargo until ${time}: what is released becomes public then, and what is still held stays held.`,
    closed: "The election is closed. Held reports can still be decided.",
    omitted: (n) =>
      `${count(n, "more report", "more reports")} ${noun(n, "is", "are")} held; the list would be too long.`,
    stale: (time, age) =>
      `No answer about held reports since ${time} (for ${age}). What is shown is from then.`,
    staleNever: "There is no answer about held reports. The page tries again automatically.",
    answers: "The board gets answers again.",
    added: (places) => `Held now: ${both(places)}.`,
    another: (place) => `${place} has sent a new revision, which is held too. Look at it before you decide.`,

    choose: (place) => `Select ${place}`,
    waits: (age) => `for ${age}`,
    ballots,
    change: (from, to) => `${number(from)} → ${ballots(to)}`,
    sender: (token, note) => `Sent with token ${token}${note ? ` (${note})` : ""}`,
    receivedAt: (time) => `received ${time}`,
    nowHeld: (rules) => `If it arrived now, it would still be held: ${both(rules)}.`,
    nowFree: "If it arrived now, no rule would hold it.",
    sentence,
    warns: "Warning only: ",
    ask: "Ask: ",
    asks: {
      duplicate_elsewhere:
        "Are these your own ballots? Which file do they come from, and which code was used?",
      duplicate_within: "Was the same count entered twice, or were the ballots moved here?",
      above_eligible: "Are ballots of other units included, or was something added twice?",
      fell: "Why are there fewer ballots now? Were they moved, counted again or entered wrongly?",
      party_excess: "Please read out the party's figure from the count sheet: is there a digit too many?",
      exchanged: "Please read out the figures of both parties from the count sheet: are the lines exchanged?",
      odd_time: "When was this counted? Is it a test, or an old file?",
      exchanged_before: "Which figures are right, the earlier ones or the new ones?",
      party_fell: "Why does the party have fewer votes now?",
      grew_late: "Where do the additional ballots come from?",
    },
    together: (places) =>
      `It seems to belong together with ${both(places)}, held too. Decide about them together.`,
    chooseTogether: "Select them together",
    noCurrent: "The unit has no earlier report.",
    colFigure: "Figure",
    colCurrent: "Current",
    colHeld: "Held",
    colDifference: "Difference",
    report: "Report",
    revision: "Revision",
    countedAt: "Counted",
    status: "Status",
    reason: "Reason",
    counts: { ballots: "Ballots", voters: "Voters", blank: "Blank", rejected: "Rejected" },
    withoutVotes: (n) => `${count(n, "party has", "parties have")} no votes.`,

    chosen: (n) => `${number(n)} selected`,
    release: "Release …",
    reject: "Reject …",
    unchoose: "Clear",
    releaseTitle: (n) => `Release ${count(n, "report", "reports")}?`,
    rejectTitle: (n) => `Reject ${count(n, "report", "reports")}?`,
    publishes: (n, place) => `publishes ${ballots(n)} of ${place} at once`,
    publishesLater: (n, place, time) =>
      `${ballots(n)} of ${place} ${noun(n, "becomes", "become")} public when the embargo ends (${time})`,
    insteadOf: (n) => `, instead of ${number(n)}`,
    neverPublishes: (n, place) => `${ballots(n)} of ${place} ${noun(n, "is", "are")} never published`,
    remains: (n) => `; ${ballots(n)} ${noun(n, "remains", "remain")}`,
    remainsNone: "; the unit still has no figures",
    releaseMeans: "Only the sender can correct what is released. It cannot be withdrawn from here.",
    rejectMeans: "The sender has to send a new revision. Ask for it on the phone.",
    heldFor: (rules) => `Held: ${both(rules)}.`,
    allOrNone: "All are decided at the same time, in this order, or none.",
    also: (place) => `Include ${place} as well`,
    gone: (place) => `${place} is no longer held as you saw it. Close this, and look again.`,
    reasonTitle: "Reason (becomes public)",
    reasonMissing: "Choose a reason.",
    reasons: {
      confirmed: "The sender has confirmed the figures",
      moved: "Ballots were moved between units",
      rule_too_strict: "The rule is too strict here",
      duplicate: "The same count was reported twice, here or elsewhere",
      wrong_unit: "The count belongs to another unit",
      typing_error: "Typing error",
      other: "Something else",
    },
    note: "Note (never public)",
    noteHint: (n) => `Whom you spoke to, and when. ${count(n, "character", "characters")} left.`,
    confirmRelease: (n) => `Release ${count(n, "report", "reports")}`,
    confirmReject: (n) => `Reject ${count(n, "report", "reports")}`,
    cancel: "Cancel",
    close: "Close",
    sending: "Sending …",
    trouble: (time) => `No answer since ${time}. Trying again. That is safe: nothing is decided twice.`,
    stop: "Stop trying",
    unknown: "It is not known whether the decision arrived. The list shows it.",
    released: (place, where) => `${place}: released${where}`,
    inRecord: (sequence) => `, number ${sequence} in the record`,
    atEmbargo: ", public when the embargo ends",
    rejected: (place) => `${place}: rejected`,
    superseded: (place) => `${place}: replaced by the sender`,
    nothingDecided: "Nothing was decided.",
    refused: (status, detail) => `The service did not accept the decision (${status}). ${detail}`,
    conflicts: {
      superseded: (place, _, newest) =>
        `${place}: the sender has sent other figures${newest ? ` (revision ${newest})` : ""}`,
      decided_otherwise: (place, state) => `${place}: decided already${state ? ` (${state})` : ""}`,
      not_held: (place) => `${place}: is not held`,
      revision_conflict: (place) => `${place}: has other figures than those shown here`,
    },
    states: { open: "held", released: "released", rejected: "rejected", superseded: "replaced" },
    endedTitle: "Earlier decisions",
    endedNone: "Nothing has been decided yet.",
    endedOmitted: (n) => `and ${count(n, "older one", "older ones")}`,
    by: (token, note) => `token ${token}${note ? ` (${note})` : ""}`,

    rulesTitle: "Rules",
    rulesWhy: "The rules can only be changed with a command, and only for reports that arrive afterwards.",
    rulesOrigin: "As they were when the election was loaded.",
    rulesChanged: (time, by) => `Last changed ${time}, ${by}.`,
    rulesUnread: "The rules have not been read yet.",
    rulesMost: (n) =>
      `Once ${count(n, "report", "reports")} ${noun(n, "is", "are")} held, the rules only warn.`,
    colRule: "Rule",
    colDoes: "Does",
    colThresholds: "Thresholds",
    does: { hold: "holds", warn: "warns", off: "is off" },
    rulesCommands: "See and change the rules",
    rules: {
      duplicate_elsewhere: "same figures as in another municipality",
      duplicate_within: "same figures twice in the municipality",
      above_eligible: "more ballots than eligible voters",
      fell: "fewer ballots than before",
      party_excess: "unusually many votes for a party",
      exchanged: "two parties are exchanged",
      odd_time: "counted long before the election",
      exchanged_before: "two parties exchanged since the report before",
      party_fell: "a party has fewer votes than before",
      grew_late: "a finished unit has grown",
      not_judged: "a rule could not judge the report",
    },

    sentences: {
      duplicate_elsewhere: duplicate,
      duplicate_within: duplicate,
      above_eligible(e, { area }) {
        const voters = count(e.eligible, "eligible voter", "eligible voters");
        const where = e.of_unit ? "the unit" : area(e.area);
        return e.after === undefined
          ? `with this report, ${where} has more ballots than its ${voters}`
          : `with this report, ${where} has ${ballots(e.after)}${before(e.before)} but only ${voters}`;
      },
      fell(e, { area }) {
        const fall = `the ballots fall ${fromTo(e)} without a reason`;
        return e.municipality === undefined
          ? fall
          : `${fall}; ${area(e.municipality)} had ${ballots(e.municipality_ballots)} in all`;
      },
      party_excess(e, { area }) {
        const has = `${e.party} has ${count(e.after, `${kind(e.category)} vote`, `${kind(e.category)} votes`)}${before(e.before)}`;
        return e.expected === undefined
          ? `${has}, far more than expected`
          : `${has}; the other units of ${area(e.reference)} suggest about ${number(e.expected)}`;
      },
      exchanged(e, { area }) {
        const text = `${e.more} and ${e.fewer} seem to have each other's ${kind(e.category)} votes: `;
        const [more, fewer] = [`${e.more} ${number(e.more_votes)}`, `${e.fewer} ${number(e.fewer_votes)}`];
        return e.reference === undefined
          ? `${text}${more}, ${fewer}`
          : `${text}${more} (about ${number(e.more_expected)} expected), ${fewer} ` +
              `(about ${number(e.fewer_expected)} expected), by the other units of ${area(e.reference)}`;
      },
      odd_time: (e, { moment, date }) =>
        `counted ${moment(e.counted_at)}, ${count(e.days, "day", "days")} before the election (${date(e.date)})`,
      exchanged_before: (e) =>
        `compared with the current report, two parties have exchanged their ${kind(e.category)} votes: ` +
        `${e.one} from ${number(e.one_before)} to ${number(e.one_after)}, ` +
        `${e.other} from ${number(e.other_before)} to ${number(e.other_after)}`,
      party_fell(e, { area }) {
        const fall = `the votes of ${e.party} fall ${fromTo(e)}`;
        return e.municipality === undefined
          ? fall
          : `${fall}; in ${area(e.municipality)} it had ${votes(e.municipality_votes)} in all`;
      },
      grew_late: (e, { status }) =>
        `the current report has the status “${status(e.status)}”, and the ballots rise ${fromTo(e)}`,
    },
  };
};
