// The texts about the signed record in bokmål.

/** @import { Figures } from "../texts.js" */

/** @param {Figures} figures */
export const texts = ({ number, count }) => {
  const reports = (/** @type {number} */ n) => count(n, "melding", "meldinger");
  const witnesses = (/** @type {number} */ n) => count(n, "vitne", "vitner");
  return {
    title: "Etterprøv resultatene",
    lead: "Hvem som helst kan kontrollere at alle ser de samme tallene, og at ingenting er endret eller fjernet.",
    reading: "Leser det nyeste sjekkpunktet …",
    notSigned: "Tallene i dette valget er ikke signert.",
    signedAgo: (/** @type {string} */ age) => `Tallene er signert, sist for ${age} siden.`,
    coversAll: (/** @type {number} */ n) => `Signaturen dekker alle ${reports(n)}.`,
    coversSome: (/** @type {number} */ n, /** @type {number} */ left) =>
      `Signaturen dekker ${reports(n)}; ${number(left)} gjenstår.`,
    coversOpening: "Før resultatene er offentlige, dekker signaturen bare åpningen av valget.",
    agree: (/** @type {number} */ n, /** @type {number} */ of) =>
      `${number(n)}\u00a0av\u00a0${witnesses(of)} bekrefter.`,
    noWitnesses: "Ingen vitner er satt opp.",
    late: (/** @type {string} */ age, /** @type {number} */ left) =>
      `Det nyeste sjekkpunktet er ${age} gammelt, og ${reports(left)} er ikke dekket.`,
    witnessesSilent: (/** @type {string} */ age) => `Vitnene bekreftet sist for ${age} siden.`,
    wrongSignature: "Det nyeste sjekkpunktet er ikke riktig signert. Ikke stol på disse tallene.",
    wrongCosignature: (/** @type {string} */ name) => `Signaturen fra vitnet ${name} er feil.`,
    noCheckpoint: "Det finnes ikke noe sjekkpunkt ennå.",
    noneCovered: (/** @type {number} */ n) =>
      `Det finnes ikke noe sjekkpunkt, selv om ${reports(n)} kan leses.`,
    laterHistory: (/** @type {number} */ n) =>
      `Dette er historikk nummer ${number(n)}: etter en gjenoppretting manglet noe som var signert, og signeringen begynte på nytt. De tidligere sjekkpunktene kan fortsatt leses.`,
    unchecked: "Denne nettleseren har ikke kontrollert signaturene.",
    figureAge: "Nyeste sjekkpunkt",
    figureAgo: (/** @type {string} */ age) => `${age} siden`,
    figureCovered: "Meldinger det dekker",
    figureOf: (/** @type {number} */ n) => `av ${number(n)} publiserte`,
    figureWitnesses: "Vitner som bekrefter",
    figureWitnessesOf: (/** @type {number} */ n, /** @type {number} */ of) => `${number(n)} av ${number(of)}`,
    figureConfirmed: (/** @type {string} */ age) => `sist for ${age} siden`,
    root: (/** @type {string} */ size) => `Rothash over ${size} oppføringer: `,
    rootWhy: "To lesere som sammenligner rothashen for samme antall oppføringer, har sett de samme tallene.",

    proofTitle: "Kontroller et bevis",
    proofWhy:
      "En avsender får et bevis for hver melding: en fil som heter ENHET-REVISJON.tlog-proof. Den viser at meldingen er med i det alle ser. Filen blir ikke sendt noe sted.",
    keysLabel: "Nøkler eller regler du har fått på en annen måte enn fra denne siden",
    keysHelp:
      "Én nøkkel per linje (NAVN+ID+NØKKEL), eller en fil med regler (log, witness, group, quorum). Uten dem brukes nøklene på denne siden, som ikke beviser noe alene.",
    fileLabel: "Bevisfil",
    fileDrop: "eller slipp filen her",
    insecure:
      "Nettleseren kan ikke kontrollere bevis på denne siden, fordi den ikke er åpnet over HTTPS. Bruk kommandoen:",
    noEd25519:
      "Denne nettleseren kan ikke kontrollere signaturer med Ed25519. Bruk en nyere, eller kommandoen:",
    proofTrust:
      "Kontrollen gjøres i nettleseren din, men siden kommer fra tjenesten som blir kontrollert. Bruk kommandoen nederst hvis du ikke stoler på den.",
    verified: (/** @type {string} */ unit, /** @type {number} */ revision) =>
      `Bekreftet: revisjon ${number(revision)} fra ${unit} er med i protokollen.`,
    verifiedByDoor: (/** @type {string} */ unit, /** @type {number} */ revision) =>
      `Revisjon ${number(revision)} fra ${unit} er med, men bare nøkkelen fra denne siden er brukt. Det beviser ingenting før du har sammenlignet nøkkelen med en du har fått på en annen måte.`,
    failed: "Ikke bekreftet.",
    rehearsal: "Dette er et bevis fra en øvelse.",
    whatIsVerified: "Hva som er kontrollert",
    included: (/** @type {string} */ index, /** @type {string} */ size) =>
      `Meldingen er oppføring ${index} i et tre med ${size} oppføringer.`,
    notIncludedIn: (/** @type {string} */ index, /** @type {string} */ size) =>
      `Meldingen er ikke oppføring ${index} i et tre med ${size} oppføringer.`,
    signedBy: (/** @type {string} */ name) => `${name} har signert treet.`,
    notSignedBy: (/** @type {string} */ name) => `Ingen gyldig signatur fra ${name}.`,
    cosignedBy: (/** @type {string} */ name, /** @type {string} */ time) =>
      `${name} bekreftet treet ${time}.`,
    notCosignedBy: (/** @type {string} */ name) => `${name} har ikke bekreftet treet.`,
    noneRequired: "Ingen vitner er kontrollert: det er ingen blant nøklene.",
    whatIsInIt: "Meldingen i filen",
    unit: "Enhet",
    revision: "Revisjon",
    status: "Status",
    countedAt: "Talt",
    reason: "Grunn",
    figuresCaption: "Tallene i meldingen",
    kind: "Tall",
    ballots: "Godkjente stemmesedler",
    blank: "Blanke",
    rejected: "Forkastede",
    voters: "Kryss i manntallet",
    problems: {
      notIncluded: () => "Meldingen er ikke med i treet som filen viser til: den eller beviset er endret.",
      otherLog: (/** @type {string} */ name) => `Ingen av nøklene er for ${name}, som filen er fra.`,
      notSigned: (/** @type {string} */ name) =>
        `Treet er ikke signert med noen av nøklene for ${name}. Har du riktig nøkkel?`,
      badSignature: (/** @type {string} */ name) =>
        `Signaturen fra ${name} er feil: noen har endret filen, eller den er laget med en annen nøkkel.`,
      badCosignature: (/** @type {string} */ name) => `Signaturen fra vitnet ${name} er feil.`,
      tooFewWitnesses: (/** @type {string} */ n) => `For få vitner har bekreftet treet: ${n}.`,
      tooLarge: () => "Filen er for stor til å være et bevis.",
      lineEnds: () =>
        "Linjeskiftene i filen er endret underveis, slik noen e-postprogrammer gjør. Få den på nytt, i en zip-fil.",
      notAProof: () => "Dette er ikke en bevisfil: den begynner ikke med c2sp.org/tlog-proof@v1.",
      cutOff: () => "Filen er ikke hel: sjekkpunktet mangler.",
      badLine: (/** @type {string} */ line) => `Linje ${line} i filen er feil.`,
      tooManyHashes: (/** @type {string} */ n) => `Filen har mer enn ${n} hasher, så beviset er ikke ekte.`,
      notACheckpoint: () => "Sjekkpunktet i filen er ikke riktig skrevet.",
      noReport: () => "Filen inneholder ikke meldingen som den skal bevise.",
      badReport: () => "Filen inneholder noe annet enn en melding med tall.",
      notAKey: (/** @type {string} */ text) => `Dette er ikke en nøkkel: ${text}`,
      otherKey: (/** @type {string} */ name) => `Nøkkelen ${name} er av en type som siden ikke kjenner.`,
      damagedKey: (/** @type {string} */ name) => `Nøkkelen ${name} er skrevet feil: ID-en passer ikke.`,
      noLogKey: () => "Ingen av nøklene er for signaturen under tallene; kanskje er det bare vitnenes.",
      tooManyKeys: () => "Det er for mange nøkler.",
      badPolicy: (/** @type {string} */ line) => `Linje ${line} i reglene er feil.`,
      noQuorum: () => "Reglene sier ikke hvor mange vitner som kreves (quorum).",
      severalFiles: () => "Slipp én fil om gangen.",
      unreadable: () => "Filen kan ikke leses.",
      noDoorKeys: () => "Valget er ikke signert her, så nøkkelen må limes inn.",
    },

    keysTitle: "Nøklene",
    keysWarning:
      "En nøkkel du bare har fra denne siden, beviser ingenting: den som viser deg falske tall, kan vise deg en falsk nøkkel også. Få nøkkelen fra valgmyndigheten på en annen måte – på trykk, fra nettstedet deres eller lest opp på telefon – og sammenlign fingeravtrykket.",
    keysCaption: "Nøkler med fingeravtrykk",
    keyOf: "For",
    keyOfLog: "Protokollen",
    keyOfWitness: "Vitne",
    key: "Nøkkel",
    fingerprint: "Fingeravtrykk (SHA-256 av nøkkelen)",
    noFingerprint: "vises over HTTPS",

    howTitle: "Kontroller hele protokollen selv",
    howWhy:
      "Kommandoen leser hver melding, summerer hvert område og sammenligner med det som er signert. log.vkey er en fil med nøkkelen du har fått på en annen måte.",
    howInstall: "Installer kommandoen:",
    howRecord: "Kontroller alt:",
    howReceipt: "Kontroller et bevis, også uten nett:",
    howWithout: "Uten dette programmet: kontroller signaturen med openssl",
  };
};
