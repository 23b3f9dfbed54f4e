// The texts about the signed record in English.

/** @import { ProofTexts } from "../proof_texts.js" */
/** @import { Figures } from "../texts.js" */

/**
 * @param {Figures} figures
 * @returns {ProofTexts}
 */
export const texts = ({ number, count }) => {
  const reports = (/** @type {number} */ n) => count(n, "report", "reports");
  return {
    title: "Verify the results",
    lead: "Anyone can check that everybody sees the same figures, and that nothing was changed or removed.",
    reading: "Reading the newest checkpoint …",
    notSigned: "The figures of this election are not signed.",
    signedAgo: (age) => `The figures are signed, last ${age} ago.`,
    coversAll: (n) => `The signature covers all ${reports(n)}.`,
    coversSome: (n, left) => `The signature covers ${reports(n)}; ${number(left)} to come.`,
    coversOpening: "Until the results are public, the signature covers only the opening of the election.",
    agree: (n, of) =>
      `${number(n)}\u00a0of\u00a0${count(of, "witness", "witnesses")} ${n === 1 || of === 1 ? "agrees" : "agree"}.`,
    noWitnesses: "No witness is configured.",
    late: (age, left) =>
      `The newest checkpoint is ${age} old and does not cover ${count(left, "published report", "published reports")}.`,
    witnessesSilent: (age) => `The witnesses last agreed ${age} ago.`,
    wrongSignature: "The newest checkpoint is not signed correctly. Do not rely on these figures.",
    wrongCosignature: (name) => `The signature of the witness ${name} is wrong.`,
    noCheckpoint: "There is no checkpoint yet.",
    noneCovered: (n) => `There is no checkpoint, although ${reports(n)} can be read.`,
    laterHistory: (n) =>
      `This is history number ${number(n)}: after a restore, something that had been signed was missing, and signing began again. The earlier checkpoints can still be read.`,
    unchecked: "This browser has not verified the signatures.",
    figureAge: "Newest checkpoint",
    figureAgo: (age) => `${age} ago`,
    figureCovered: "Reports that it covers",
    figureOf: (n) => `of ${number(n)} published`,
    figureWitnesses: "Witnesses that agree",
    figureWitnessesOf: (n, of) => `${number(n)} of ${number(of)}`,
    figureConfirmed: (age) => `last ${age} ago`,
    root: (size) => `Root hash of ${size} entries: `,
    rootWhy:
      "Two readers who compare the root hash of the same number of entries have seen the same figures.",

    proofTitle: "Verify a proof",
    proofWhy:
      "A sender gets a proof of each report: a file called UNIT-REVISION.tlog-proof. It shows that the report is in what everybody sees. The file is not sent anywhere.",
    keysLabel: "Keys or a policy that you got in another way than from this page",
    keysHelp:
      "One key per line (NAME+ID+KEY), or a policy file (log, witness, group, quorum). Without them, the keys on this page are used, which prove nothing by themselves.",
    fileLabel: "Proof file",
    fileDrop: "or drop the file here",
    insecure:
      "The browser cannot verify proofs on this page because it was not opened over HTTPS. Use the command:",
    noEd25519: "This browser cannot verify Ed25519 signatures. Use a newer one, or the command:",
    proofTrust:
      "Your browser verifies the file, but this page comes from the service that is verified. Use the command at the end if you do not trust it.",
    verified: (unit, revision) => `Verified: revision ${number(revision)} of ${unit} is in the record.`,
    verifiedByDoor: (unit, revision) =>
      `Revision ${number(revision)} of ${unit} is included, but only the key from this page was used. That proves nothing until you have compared the key with one that you got in another way.`,
    failed: "Not verified.",
    rehearsal: "This is a proof from a rehearsal.",
    whatIsVerified: "What was verified",
    included: (index, size) => `The report is entry ${index} of a tree with ${size} entries.`,
    notIncludedIn: (index, size) => `The report is not entry ${index} of a tree with ${size} entries.`,
    signedBy: (name) => `${name} signed the tree.`,
    notSignedBy: (name) => `No valid signature of ${name}.`,
    cosignedBy: (name, time) => `${name} confirmed the tree ${time}.`,
    notCosignedBy: (name) => `${name} has not confirmed the tree.`,
    noneRequired: "No witness was checked: there is none among the keys.",
    whatIsInIt: "The report in the file",
    unit: "Unit",
    revision: "Revision",
    status: "Status",
    countedAt: "Counted",
    reason: "Reason",
    figuresCaption: "The figures of the report",
    kind: "Figure",
    ballots: "Approved ballots",
    blank: "Blank",
    rejected: "Rejected",
    voters: "Voters marked in the register",
    problems: {
      notIncluded: () =>
        "The report is not in the tree that the file refers to: it or the proof was changed.",
      otherLog: (name) => `None of the keys is for ${name}, from which the file is.`,
      notSigned: (name) => `The tree is not signed with any of the keys for ${name}. Is it the right key?`,
      badSignature: (name) =>
        `The signature of ${name} is wrong: the file was changed, or it was made with another key.`,
      badCosignature: (name) => `The signature of the witness ${name} is wrong.`,
      tooFewWitnesses: (n) => `Too few witnesses have confirmed the tree: ${n}.`,
      tooLarge: () => "The file is too large for a proof.",
      lineEnds: () =>
        "The line ends of the file were changed on the way, as by some mail programs. Get it again, in a zip file.",
      notAProof: () => "This is not a proof file: it does not begin with c2sp.org/tlog-proof@v1.",
      cutOff: () => "The file is incomplete: its checkpoint is missing.",
      badLine: (line) => `Line ${line} of the file is wrong.`,
      tooManyHashes: (n) => `The file has more than ${n} hashes, so it is no proof.`,
      notACheckpoint: () => "The checkpoint in the file is malformed.",
      noReport: () => "The file does not contain the report that it is to prove.",
      badReport: () => "The file contains something else than a report with figures.",
      notAKey: (text) => `This is not a key: ${text}`,
      otherKey: (name) => `The key ${name} is of a type that this page does not know.`,
      damagedKey: (name) => `The key ${name} is mistyped: its ID does not fit.`,
      noLogKey: () => "None of the keys is that of the record; perhaps there are only keys of witnesses.",
      tooManyKeys: () => "There are too many keys.",
      badPolicy: (line) => `Line ${line} of the policy is wrong.`,
      noQuorum: () => "The policy does not say which witnesses are required (quorum).",
      severalFiles: () => "Drop one file at a time.",
      unreadable: () => "The file cannot be read.",
      noDoorKeys: () => "The election is not signed here, so the key has to be pasted.",
    },

    keysTitle: "The keys",
    keysWarning:
      "A key that you have only from this page proves nothing: whoever shows you false figures can show you a false key too. Get the key from the election authority in another way – in print, from its own site, or read out by phone – and compare the fingerprint.",
    keysCaption: "Keys with fingerprints",
    keyOf: "Of",
    keyOfLog: "The record",
    keyOfWitness: "Witness",
    key: "Key",
    fingerprint: "Fingerprint (SHA-256 of the key)",
    noFingerprint: "shown over HTTPS",

    howTitle: "Verify the whole record yourself",
    howWhy:
      "The command reads every report, adds up every area and compares everything with what is signed. log.vkey is a file with the key that you got in another way.",
    howInstall: "Install the command:",
    howRecord: "Verify everything:",
    howReceipt: "Verify a proof, also offline:",
    howWithout: "Without this software: verify the signature with openssl",
  };
};
