// The columns of tables of areas.

import { explainedUnit } from "./corrections.js";
import { h, text } from "./dom.js";
import { moment, number, share, t } from "./format.js";

/** A row is {area, sums, place (text under the name), href}. */
export function areaColumns(parties, { units = false } = {}) {
  const columns = [
    {
      title: "colName",
      value: (row) => row.area.name,
      draw(cell, row) {
        if (!cell.firstChild) cell.append(h("a", { href: row.href }), h("small"));
        text(cell.firstChild, row.area.name);
        text(cell.lastChild, row.place);
      },
    },
  ];
  if (units) {
    columns.push({
      title: "colStatus",
      kind: "left",
      value: (row) => t("statuses")[row.area.status ?? "no_report"],
      draw: (cell, row) => text(cell, t("statuses")[row.area.status ?? "no_report"] ?? row.area.status),
    });
  } else {
    columns.push({
      title: "colCounted",
      falling: true,
      value: (row) => row.area.units.reported / (row.area.units.total || 1),
      draw(cell, row) {
        const { reported, total } = row.area.units;
        text(cell, `${number(reported)}/${number(total)}`);
        cell.classList.toggle("done", reported === total);
      },
    });
  }
  columns.push(
    {
      title: "colBallots",
      kind: "slim",
      falling: true,
      value: (row) => row.sums.ballots,
      draw: (cell, row) => text(cell, number(row.sums.ballots)),
    },
    ...(units
      ? []
      : [
          {
            title: "colTurnout",
            kind: "second",
            falling: true,
            value: (row) => (row.area.eligible ? row.sums.ballots / row.area.eligible : null),
            draw: (cell, row) => text(cell, share(row.sums.ballots, row.area.eligible)),
          },
        ]),
    party(parties, "colFirst", 0, ""),
    party(parties, "colSecond", 1, "third"),
  );
  if (units) {
    columns.push(
      {
        title: "colRevision",
        kind: "third",
        falling: true,
        value: (row) => row.area.revision,
        draw: (cell, row) => text(cell, row.area.revision === null ? "" : number(row.area.revision)),
      },
      {
        title: "colCorrections",
        kind: "second left",
        value: (row) => row.area.correction?.sequence,
        falling: true,
        draw: (cell, row) => text(cell, row.area.correction ? explainedUnit(row.area) : ""),
      },
    );
  } else {
    columns.push({
      title: "colCorrections",
      kind: "third",
      falling: true,
      value: (row) => row.area.corrections,
      draw: (cell, row) => text(cell, row.area.corrections ? number(row.area.corrections) : ""),
    });
  }
  columns.push({
    title: "colUpdated",
    kind: "second",
    falling: true,
    value: (row) => row.area.sequence || null,
    draw: (cell, row) => text(cell, row.area.published_at ? moment(row.area.published_at) : "–"),
  });
  return columns;
}

function party(parties, title, rank, kind) {
  return {
    title,
    kind,
    value: (row) => row.sums.ranked[rank]?.[0],
    draw(cell, row) {
      if (!cell.firstChild) cell.append(h("span", { class: "chip party", "aria-hidden": "true" }), h("span"));
      const found = row.sums.ranked[rank];
      cell.firstChild.hidden = !found;
      text(cell.lastChild, found ? `${found[0]} ${share(found[1], row.sums.votes)}` : "–");
      if (found) parties.colour(cell.firstChild, found[0]);
    },
  };
}
