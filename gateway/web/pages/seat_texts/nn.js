// The texts about seats in nynorsk.

/** @import { SeatTexts } from "../seat_texts.js" */
/** @import { Figures } from "../texts.js" */

/**
 * @param {Figures} figures
 * @returns {SeatTexts}
 */
export const texts = ({ number, count, both, listed }) => {
  const seats = (/** @type {number} */ n) => count(n, "mandat", "mandat");
  const votes = (/** @type {number} */ n) => count(n, "røyst", "røyster");
  const lastSeat = (/** @type {boolean} */ ordinary) =>
    ordinary ? "det siste distriktsmandatet" : "det siste mandatet";
  return {
    title: "Mandat",
    projection: "Førebels utrekning",
    why: "Rekna ut av røystene som er talde opp så langt. Det er valstyresmaktene som fastset mandatfordelinga.",
    waiting: (n) =>
      `${count(n, "valdistrikt", "valdistrikt")} har ingen røyster og dermed ingen mandat enno.`,
    levellingWaits: (n) =>
      `${count(n, "utjamningsmandat", "utjamningsmandat")} ${n === 1 ? "blir fordelt" : "blir fordelte"} når alle valdistrikta har røyster.`,
    noneYet: "Ingen mandat enno: ingen røyster er talde opp.",
    noneYetHere: (n) =>
      `Ingen mandat enno: ingen røyster er talde opp her. Valdistriktet skal ha ${seats(n)}.`,

    seats,
    forMajority: (n) => `${number(n)} for fleirtal`,
    hasMajority: (over) => (over ? `fleirtal, ${number(over)} meir enn nødvendig` : "fleirtal"),
    lacksMajority: (n) => `manglar ${number(n)} på fleirtal`,
    open: "Ikkje fordelte enno",
    outside: "Utanfor blokkene",
    chamber: (parties) => `Salen frå venstre mot høgre: ${listed(parties)}.`,
    partySeats: (party, n) => `${party} ${number(n)}`,
    caption: "Mandat per parti",
    colParty: "Parti",
    colSeats: "Mandat",
    colLevelling: "av dei utjamning",
    sum: "I alt",

    toWin: "Nærast å vinne eit mandat",
    toLose: "Nærast å miste eit mandat",
    closeWhy:
      "Kor mange røyster det neste partiet manglar på det siste mandatet i kvart valdistrikt, og kor mange det partiet som har mandatet, kan miste, alt anna likt.",
    closeLevelling: "Utjamningsmandata kan likevel gi eit parti like mange mandat i alt.",
    votes,
    from: (party) => `tek det frå ${party}`,
    to: (party) => `${party} er neste`,
    all: (n) => `Vis alle ${number(n)}`,
    fewer: "Vis færre",

    threshold: (percent) => `Rundt sperregrensa på ${percent}`,
    thresholdHere: (percent) => `Rundt sperregrensa på ${percent} her`,
    thresholdWhy: "Berre parti over sperregrensa er med i fordelinga av mandata.",
    thresholdLevelling: "Berre parti over sperregrensa er med i fordelinga av utjamningsmandata.",
    above: (n) => `${votes(n)} over`,
    below: (n) => `${votes(n)} under`,

    levelling: "Utjamningsmandata",
    levellingWhy:
      "I den rekkjefølgja dei blir fordelte. Ei røyst i eitt valdistrikt kan flytte eit utjamningsmandat mellom to andre.",
    colOrder: "Nr.",
    colDistrict: "Valdistrikt",

    districtOrdinary: (n, levelling) =>
      `${count(n, "distriktsmandat", "distriktsmandat")} og ${count(levelling, "utjamningsmandat", "utjamningsmandat")}`,
    last: (party, spare, ordinary) =>
      spare
        ? `${party} har ${lastSeat(ordinary)} og kan miste ${votes(spare)} utan å miste det.`
        : `${party} har ${lastSeat(ordinary)} og mistar det med éi røyst mindre.`,
    next: (party, lacks) => `${party} er neste og tek det med ${count(lacks, "røyst til", "røyster til")}.`,
    tied: (parties) =>
      `${both(parties)} har like mange røyster. Loddtrekning avgjer; inntil vidare gjeld rekkjefølgja på partilista.`,
    districtLevelling: (parties) =>
      `${parties.length === 1 ? "Utjamningsmandatet" : "Utjamningsmandata"} her går til ${both(parties)}. Det kjem an på røystene i heile landet.`,
    districtLevellingWaits: (n) =>
      `${n === 1 ? "Utjamningsmandatet blir fordelt" : "Utjamningsmandata blir fordelte"} når alle valdistrikta har røyster.`,
    otherThingsEqual: "Rekna med at alle andre røyster er som no.",
  };
};
