// The texts about the signed record in nynorsk.

/** @import { ProofTexts } from "../proof_texts.js" */
/** @import { Figures } from "../texts.js" */

/**
 * @param {Figures} figures
 * @returns {ProofTexts}
 */
export const texts = ({ number, count }) => {
  const reports = (/** @type {number} */ n) => count(n, "melding", "meldingar");
  return {
    title: "Etterprøv resultata",
    lead: "Kven som helst kan kontrollere at alle ser dei same tala, og at ingenting er endra eller fjerna.",
    reading: "Les det nyaste sjekkpunktet …",
    notSigned: "Tala i dette valet er ikkje signerte.",
    signedAgo: (age) => `Tala er signerte, sist for ${age} sidan.`,
    coversAll: (n) => `Signaturen dekkjer alle ${reports(n)}.`,
    coversSome: (n, left) => `Signaturen dekkjer ${reports(n)}; ${number(left)} står att.`,
    coversOpening: "Før resultata er offentlege, dekkjer signaturen berre opninga av valet.",
    agree: (n, of) => `${number(n)}\u00a0av\u00a0${count(of, "vitne", "vitne")} stadfestar.`,
    noWitnesses: "Ingen vitne er sette opp.",
    late: (age, left) => `Det nyaste sjekkpunktet er ${age} gammalt, og ${reports(left)} er ikkje dekte.`,
    witnessesSilent: (age) => `Vitna stadfesta sist for ${age} sidan.`,
    wrongSignature: "Det nyaste sjekkpunktet er ikkje rett signert. Ikkje stol på desse tala.",
    wrongCosignature: (name) => `Signaturen frå vitnet ${name} er feil.`,
    noCheckpoint: "Det finst ikkje noko sjekkpunkt enno.",
    noneCovered: (n) => `Det finst ikkje noko sjekkpunkt, sjølv om ${reports(n)} kan lesast.`,
    laterHistory: (n) =>
      `Dette er historikk nummer ${number(n)}: etter ei gjenoppretting mangla noko som var signert, og signeringa byrja på nytt. Dei tidlegare sjekkpunkta kan framleis lesast.`,
    unchecked: "Denne nettlesaren har ikkje kontrollert signaturane.",
    figureAge: "Nyaste sjekkpunkt",
    figureAgo: (age) => `${age} sidan`,
    figureCovered: "Meldingar det dekkjer",
    figureOf: (n) => `av ${number(n)} publiserte`,
    figureWitnesses: "Vitne som stadfestar",
    figureWitnessesOf: (n, of) => `${number(n)} av ${number(of)}`,
    figureConfirmed: (age) => `sist for ${age} sidan`,
    root: (size) => `Rothash over ${size} oppføringar: `,
    rootWhy: "To lesarar som samanliknar rothashen for same talet på oppføringar, har sett dei same tala.",

    proofTitle: "Kontroller eit bevis",
    proofWhy:
      "Ein avsendar får eit bevis for kvar melding: ei fil som heiter EINING-REVISJON.tlog-proof. Ho viser at meldinga er med i det alle ser. Fila blir ikkje send nokon stad.",
    keysLabel: "Nøklar eller reglar du har fått på ein annan måte enn frå denne sida",
    keysHelp:
      "Éin nøkkel per linje (NAMN+ID+NØKKEL), eller ei fil med reglar (log, witness, group, quorum). Utan dei blir nøklane på denne sida brukte, og dei beviser ikkje noko åleine.",
    fileLabel: "Bevisfil",
    fileDrop: "eller slepp fila her",
    insecure:
      "Nettlesaren kan ikkje kontrollere bevis på denne sida, fordi ho ikkje er opna over HTTPS. Bruk kommandoen:",
    noEd25519:
      "Denne nettlesaren kan ikkje kontrollere signaturar med Ed25519. Bruk ein nyare, eller kommandoen:",
    proofTrust:
      "Kontrollen skjer i nettlesaren din, men sida kjem frå tenesta som blir kontrollert. Bruk kommandoen nedst om du ikkje stoler på henne.",
    verified: (unit, revision) => `Stadfesta: revisjon ${number(revision)} frå ${unit} er med i protokollen.`,
    verifiedByDoor: (unit, revision) =>
      `Revisjon ${number(revision)} frå ${unit} er med, men berre nøkkelen frå denne sida er brukt. Det beviser ingenting før du har samanlikna nøkkelen med ein du har fått på ein annan måte.`,
    failed: "Ikkje stadfesta.",
    rehearsal: "Dette er eit bevis frå ei øving.",
    whatIsVerified: "Kva som er kontrollert",
    included: (index, size) => `Meldinga er oppføring ${index} i eit tre med ${size} oppføringar.`,
    notIncludedIn: (index, size) => `Meldinga er ikkje oppføring ${index} i eit tre med ${size} oppføringar.`,
    signedBy: (name) => `${name} har signert treet.`,
    notSignedBy: (name) => `Ingen gyldig signatur frå ${name}.`,
    cosignedBy: (name, time) => `${name} stadfesta treet ${time}.`,
    notCosignedBy: (name) => `${name} har ikkje stadfesta treet.`,
    noneRequired: "Ingen vitne er kontrollerte: det er ingen blant nøklane.",
    whatIsInIt: "Meldinga i fila",
    unit: "Eining",
    revision: "Revisjon",
    status: "Status",
    countedAt: "Talt",
    reason: "Grunn",
    figuresCaption: "Tala i meldinga",
    kind: "Tal",
    ballots: "Godkjende røystesetlar",
    blank: "Blanke",
    rejected: "Forkasta",
    voters: "Kryss i manntalet",
    problems: {
      notIncluded: () => "Meldinga er ikkje med i treet som fila viser til: ho eller beviset er endra.",
      otherLog: (name) => `Ingen av nøklane er for ${name}, som fila er frå.`,
      notSigned: (name) => `Treet er ikkje signert med nokon av nøklane for ${name}. Har du rett nøkkel?`,
      badSignature: (name) =>
        `Signaturen frå ${name} er feil: nokon har endra fila, eller ho er laga med ein annan nøkkel.`,
      badCosignature: (name) => `Signaturen frå vitnet ${name} er feil.`,
      tooFewWitnesses: (n) => `For få vitne har stadfesta treet: ${n}.`,
      tooLarge: () => "Fila er for stor til å vere eit bevis.",
      lineEnds: () =>
        "Linjeskifta i fila er endra undervegs, slik nokre e-postprogram gjer. Få ho på nytt, i ei zip-fil.",
      notAProof: () => "Dette er ikkje ei bevisfil: ho byrjar ikkje med c2sp.org/tlog-proof@v1.",
      cutOff: () => "Fila er ikkje heil: sjekkpunktet manglar.",
      badLine: (line) => `Linje ${line} i fila er feil.`,
      tooManyHashes: (n) => `Fila har meir enn ${n} hashar, så beviset er ikkje ekte.`,
      notACheckpoint: () => "Sjekkpunktet i fila er ikkje rett skrive.",
      noReport: () => "Fila inneheld ikkje meldinga som ho skal bevise.",
      badReport: () => "Fila inneheld noko anna enn ei melding med tal.",
      notAKey: (text) => `Dette er ikkje ein nøkkel: ${text}`,
      otherKey: (name) => `Nøkkelen ${name} er av ein type som sida ikkje kjenner.`,
      damagedKey: (name) => `Nøkkelen ${name} er feil skriven: ID-en passar ikkje.`,
      noLogKey: () =>
        "Ingen av nøklane er for signaturen under tala; kanskje er det berre nøklane til vitna.",
      tooManyKeys: () => "Det er for mange nøklar.",
      badPolicy: (line) => `Linje ${line} i reglane er feil.`,
      noQuorum: () => "Reglane seier ikkje kor mange vitne som krevst (quorum).",
      severalFiles: () => "Slepp éi fil om gongen.",
      unreadable: () => "Fila kan ikkje lesast.",
      noDoorKeys: () => "Valet er ikkje signert her, så nøkkelen må limast inn.",
    },

    keysTitle: "Nøklane",
    keysWarning:
      "Ein nøkkel du berre har frå denne sida, beviser ingenting: den som viser deg falske tal, kan vise deg ein falsk nøkkel òg. Få nøkkelen frå valstyresmakta på ein annan måte – på trykk, frå nettstaden deira eller lesen opp på telefon – og samanlikn fingeravtrykket.",
    keysCaption: "Nøklar med fingeravtrykk",
    keyOf: "For",
    keyOfLog: "Protokollen",
    keyOfWitness: "Vitne",
    key: "Nøkkel",
    fingerprint: "Fingeravtrykk (SHA-256 av nøkkelen)",
    noFingerprint: "blir vist over HTTPS",

    howTitle: "Kontroller heile protokollen sjølv",
    howWhy:
      "Kommandoen les kvar melding, summerer kvart område og samanliknar med det som er signert. log.vkey er ei fil med nøkkelen du har fått på ein annan måte.",
    howInstall: "Installer kommandoen:",
    howRecord: "Kontroller alt:",
    howReceipt: "Kontroller eit bevis, også utan nett:",
    howWithout: "Utan dette programmet: kontroller signaturen med openssl",
  };
};
