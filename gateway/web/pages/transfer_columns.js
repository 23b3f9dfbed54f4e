// The columns of tables of transfers.

import { h, text } from "./dom.js";
import { age, duration, number, t } from "./format.js";

const SLOW_S = 1;

const name = {
  title: "colName",
  value: (row) => row.name,
  draw(cell, row) {
    if (!cell.firstChild) cell.append(h("span"), h("small"));
    text(cell.firstChild, row.name);
    text(cell.lastChild, row.county ?? row.municipality);
  },
};
const toCome = {
  title: "colToCome",
  falling: true,
  value: (row) => row.units - row.reported,
  draw(cell, row) {
    const left = row.units - row.reported;
    text(cell, left ? `${number(left)} / ${number(row.units)}` : "✓");
    cell.classList.toggle("done", !left);
  },
};
const figure = (title, member, kind) => ({
  title,
  kind,
  falling: true,
  value: (row) => row[member],
  draw: (cell, row) => text(cell, row[member] === null ? "–" : number(row[member])),
});

/** When a municipality was last heard of; what was accepted came from somebody, by whichever token. */
export const heard = (row) =>
  (row.last_contact_at ?? "") > (row.last_accepted_at ?? "") ? row.last_contact_at : row.last_accepted_at;

const contact = (clock) => ({
  title: "colContact",
  kind: "second",
  falling: true,
  value: (row) => heard(row),
  draw: (cell, row) =>
    text(cell, heard(row) ? t("agoShort")(age((clock.now() - Date.parse(heard(row))) / 1000)) : t("never")),
});

function lag(title, part, kind) {
  const of = (row) => row.lag_s?.written?.[part] ?? row.lag_s?.applied?.[part] ?? null;
  return {
    title,
    kind,
    falling: true,
    value: of,
    draw(cell, row) {
      const s = of(row);
      text(cell, s === null ? "–" : duration(s));
      cell.classList.toggle("slow", s !== null && s >= SLOW_S);
    },
  };
}

/** For everyone's table. */
export const listColumns = (clock, lateAfterS) => [
  name,
  toCome,
  figure("colAccepted", "accepted", "slim"),
  figure("colPublished", "published", "second"),
  figure("colDelivered", "delivered", "third"),
  {
    title: "colOldest",
    falling: true,
    value: (row) => row.oldest_unpublished_s,
    draw(cell, row) {
      const s = row.oldest_unpublished_s;
      text(cell, s === null ? "–" : duration(s));
      cell.classList.toggle("slow", s !== null && s >= SLOW_S && s <= lateAfterS());
      cell.classList.toggle("late", s !== null && s > lateAfterS());
    },
  },
  contact(clock),
  lag("colLag", "p50", "third"),
  lag("colLagTail", "p99", "slim"),
];

/** For a municipality's own. */
export const ownColumns = (clock) => [
  name,
  toCome,
  figure("colAccepted", "accepted", "slim"),
  figure("colEmbargoed", "embargoed"),
  figure("colPublished", "published", "second"),
  {
    title: "colLast",
    kind: "second",
    value: (row) => row.last_accepted_at,
    draw: (cell, row) =>
      text(
        cell,
        row.last_accepted_at
          ? t("agoShort")(age((clock.now() - Date.parse(row.last_accepted_at)) / 1000))
          : "–",
      ),
  },
  contact(clock),
];
