// The texts about seats in bokmål.

/** @import { Figures } from "../texts.js" */

/** @param {Figures} figures */
export const texts = ({ number, count, both, listed }) => {
  const seats = (/** @type {number} */ n) => count(n, "mandat", "mandater");
  const votes = (/** @type {number} */ n) => count(n, "stemme", "stemmer");
  const lastSeat = (/** @type {boolean} */ ordinary) =>
    ordinary ? "det siste distriktsmandatet" : "det siste mandatet";
  return {
    title: "Mandater",
    projection: "Foreløpig beregning",
    why: "Beregnet av stemmene som er talt opp så langt. Det er valgmyndighetene som fastsetter mandatfordelingen.",
    waiting: (/** @type {number} */ n) =>
      `${count(n, "valgdistrikt", "valgdistrikter")} har ingen stemmer og dermed ingen mandater ennå.`,
    levellingWaits: (/** @type {number} */ n) =>
      `${count(n, "utjevningsmandat", "utjevningsmandater")} fordeles når alle valgdistriktene har stemmer.`,
    noneYet: "Ingen mandater ennå: ingen stemmer er talt opp.",
    noneYetHere: (/** @type {number} */ n) =>
      `Ingen mandater ennå: ingen stemmer er talt opp her. Valgdistriktet skal ha ${seats(n)}.`,

    seats,
    forMajority: (/** @type {number} */ n) => `${number(n)} for flertall`,
    hasMajority: (/** @type {number} */ over) =>
      over ? `flertall, ${number(over)} mer enn nødvendig` : "flertall",
    lacksMajority: (/** @type {number} */ n) => `mangler ${number(n)} på flertall`,
    open: "Ikke fordelt ennå",
    outside: "Utenfor blokkene",
    chamber: (/** @type {string[]} */ parties) => `Salen fra venstre mot høyre: ${listed(parties)}.`,
    partySeats: (/** @type {string} */ party, /** @type {number} */ n) => `${party} ${number(n)}`,
    caption: "Mandater per parti",
    colParty: "Parti",
    colSeats: "Mandater",
    colLevelling: "av dem utjevning",
    sum: "I alt",

    toWin: "Nærmest å vinne et mandat",
    toLose: "Nærmest å miste et mandat",
    closeWhy:
      "Hvor mange stemmer det neste partiet mangler på det siste mandatet i hvert valgdistrikt, og hvor mange det partiet som har mandatet, kan miste, alt annet likt.",
    closeLevelling: "Utjevningsmandatene kan likevel gi et parti like mange mandater i alt.",
    votes,
    from: (/** @type {string} */ party) => `tar det fra ${party}`,
    to: (/** @type {string} */ party) => `${party} er neste`,
    all: (/** @type {number} */ n) => `Vis alle ${number(n)}`,
    fewer: "Vis færre",

    threshold: (/** @type {string} */ percent) => `Rundt sperregrensen på ${percent}`,
    thresholdHere: (/** @type {string} */ percent) => `Rundt sperregrensen på ${percent} her`,
    thresholdWhy: "Bare partier over sperregrensen er med i fordelingen av mandatene.",
    thresholdLevelling: "Bare partier over sperregrensen er med i fordelingen av utjevningsmandatene.",
    above: (/** @type {number} */ n) => `${votes(n)} over`,
    below: (/** @type {number} */ n) => `${votes(n)} under`,

    levelling: "Utjevningsmandatene",
    levellingWhy:
      "I den rekkefølgen de fordeles. En stemme i ett valgdistrikt kan flytte et utjevningsmandat mellom to andre.",
    colOrder: "Nr.",
    colDistrict: "Valgdistrikt",

    districtOrdinary: (/** @type {number} */ n, /** @type {number} */ levelling) =>
      `${count(n, "distriktsmandat", "distriktsmandater")} og ${count(levelling, "utjevningsmandat", "utjevningsmandater")}`,
    last: (/** @type {string} */ party, /** @type {number} */ spare, /** @type {boolean} */ ordinary) =>
      spare
        ? `${party} har ${lastSeat(ordinary)} og kan miste ${votes(spare)} uten å miste det.`
        : `${party} har ${lastSeat(ordinary)} og mister det med én stemme mindre.`,
    next: (/** @type {string} */ party, /** @type {number} */ lacks) =>
      `${party} er neste og tar det med ${count(lacks, "stemme til", "stemmer til")}.`,
    tied: (/** @type {string[]} */ parties) =>
      `${both(parties)} har like mange stemmer. Loddtrekning avgjør; inntil videre brukes rekkefølgen på partilisten.`,
    districtLevelling: (/** @type {string[]} */ parties) =>
      `${parties.length === 1 ? "Utjevningsmandatet" : "Utjevningsmandatene"} her går til ${both(parties)}. Det avhenger av stemmene i hele landet.`,
    districtLevellingWaits: (/** @type {number} */ n) =>
      `${n === 1 ? "Utjevningsmandatet" : "Utjevningsmandatene"} fordeles når alle valgdistriktene har stemmer.`,
    otherThingsEqual: "Regnet med at alle andre stemmer er som nå.",
  };
};
