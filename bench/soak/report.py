"""The report of a soak: a table of slopes and verdicts, and curves over time, as text and as HTML."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import number
from bench.rehearse.report import Plot, draw, page
from bench.soak.samples import Notes, Sample
from bench.soak.series import KINDS, Kind, Trend, trends

POINTS_MAX = 1500
"""Points of a curve; of more, every second, third, ... is drawn."""
PAGE, DATA, TABLE = "soak.html", "soak.json", "soak.md"


class Soak(msgspec.Struct):
    """What a soak has found."""

    started_at: str
    environment: dict[str, Any]
    options: dict[str, Any]
    seconds: float = 0.0
    figures: dict[str, float] = {}
    outcomes: dict[str, int] = {}
    notes: Notes = msgspec.field(default_factory=Notes)
    trends: list[Trend] = []

    @property
    def verdict(self) -> str:
        """GO; NO GO if a guarantee is broken or something grows without being expected to; INVALID."""
        if self.notes.invalid:
            return "INVALID"
        return "GO" if not self.notes.faults and all(each.is_fine for each in self.trends) else "NO GO"


def summary(soak: Soak) -> list[str]:
    """Return a soak as lines for a terminal."""
    lines = [f"soak: {soak.verdict}, {soak.seconds / 3600:.2f} h"]
    lines += [f"  invalid    {reason}" for reason in soak.notes.invalid]
    lines += [f"  fault      {fault}" for fault in soak.notes.faults[:20]]
    lines += [f"  {name:44} {figure(value)}" for name, value in soak.figures.items()]
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(soak.outcomes.items()))
    lines.append(f"  {'outcomes':44} {outcomes or 'none'}")
    words = [each.verdict.word for each in soak.trends]
    lines += [f"  {word:44} {words.count(word)} series" for word in dict.fromkeys(words)]
    lines += [
        f"  NOT flat   {KINDS[each.kind].title}, {each.name}: {slope_text(each)} per hour;"
        f" {verdict_text(each).removeprefix('**NOT flat**: ')}"
        for each in soak.trends
        if not each.is_fine
    ]
    return lines


def table(soak: Soak) -> str:
    """Return the series with their slopes and verdicts as Markdown."""
    rows = ["| what | first → last | slope per hour (95 %) | verdict |", "| --- | --- | --- | --- |"]
    for each in soak.trends:
        kind = KINDS[each.kind]
        aged = ", at equal age" if each.by_age else ""
        rows.append(
            f"| {kind.title}: {each.name}{aged} |"
            f" {number(kind.scale * each.first)} → {number(kind.scale * each.last)} {kind.unit} |"
            f" {slope_text(each)} | {verdict_text(each)} |"
        )
    return "\n".join(rows) + "\n"


def slope_text(each: Trend) -> str:
    """Return a slope with its interval and its unit."""
    kind = KINDS[each.kind]
    if each.slope is None:
        return ""
    value, low, high = (
        signed(kind.scale * part) for part in (each.slope.value, each.slope.low, each.slope.high)
    )
    return f"{value} ({low} to {high}) {kind.unit}".rstrip()


def verdict_text(each: Trend) -> str:
    """Return a verdict, with what explains the growth."""
    kind, verdict = KINDS[each.kind], each.verdict
    if verdict.word in ("flat", "too short"):
        return verdict.word
    if not verdict.driver or verdict.each is None:
        return f"**NOT flat**: more than {amount(kind, verdict.most)} per hour"
    singular = verdict.driver.removesuffix("s")
    found = f"{amount(kind, verdict.each)} per {singular}"
    if verdict.word == "explained":
        return f"explained: {found}"
    return f"**NOT flat**: {found}, expected at most {amount(kind, verdict.most)}"


def amount(kind: Kind, value: float) -> str:
    """Return an amount with a unit that suits its size."""
    if kind.unit in ("MB", "kB"):
        for factor, unit in ((1e6, "MB"), (1e3, "kB")):
            if abs(value) >= factor:
                return f"{number(value / factor)} {unit}"
        return f"{number(value)} bytes"
    return f"{number(kind.scale * value)} {kind.unit}".rstrip()


def figure(value: float) -> str:
    """Return a single figure for display."""
    return f"{value:,.6g}".replace(",", " ")


def signed(value: float) -> str:
    """Return a figure with its sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{number(abs(value))}"


def write(soak: Soak, samples: Iterable[Sample], directory: Path) -> None:
    """Write the page, the table and the data of a soak into a directory."""
    found = list(samples)
    soak.trends = trends(found, soak.notes)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / DATA).write_bytes(msgspec.json.format(msgspec.json.encode(soak), indent=1))
    (directory / TABLE).write_text("\n".join([*summary(soak), "", table(soak)]), encoding="utf-8")
    (directory / PAGE).write_text(page_of(soak, found), encoding="utf-8")


def page_of(soak: Soak, samples: Sequence[Sample]) -> str:
    """Return the report of a soak as HTML."""
    word = soak.verdict
    colour = {"GO": "go", "NO GO": "no", "INVALID": "void"}[word]
    parts = [
        "<h1>soak</h1><p class=about>The night's load repeated, and what grows meanwhile.</p>",
        f"<p><span class='verdict {colour}'>{word}</span></p>",
        *(f"<p class=missed>{html.escape(text)}</p>" for text in (*soak.notes.invalid, *soak.notes.faults)),
        _trend_table(soak),
    ]
    until = 1.02 * max((sample.at for sample in samples), default=0.0)
    for kind, how in KINDS.items():
        lines = _curves(kind, samples)
        if lines:
            plot = Plot(kind, how.title, how.unit, how.scale, logarithmic=kind == "latency")
            marks = soak.notes.marks if kind in ("rss", "latency", "descriptors") else []
            parts.append(f"<figure>{draw(plot, lines, marks[:60], until)}</figure>")
    for title, rows in (
        ("Figures", {name: figure(value) for name, value in soak.figures.items()}),
        ("Outcomes", {name: str(count) for name, count in sorted(soak.outcomes.items())}),
        ("Options", {name: str(value) for name, value in soak.options.items()}),
        ("Environment", {name: str(value) for name, value in soak.environment.items()}),
    ):
        cells = "".join(
            f"<tr><td>{html.escape(name)}</td><td class=figure>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        parts.append(f"<h2>{title}</h2><table>{cells}</table>" if rows else "")
    parts.append(f"<p><small>{html.escape(soak.started_at)}, {soak.seconds:.0f} s</small></p>")
    return page(f"soak: {word}", parts)


def _trend_table(soak: Soak) -> str:
    rows = ""
    for each in soak.trends:
        kind = KINDS[each.kind]
        aged = ", at equal age" if each.by_age else ""
        cells = (
            f"{number(kind.scale * each.first)} → {number(kind.scale * each.last)} {kind.unit}",
            slope_text(each),
        )
        text = html.escape(verdict_text(each).replace("**", ""))
        rows += (
            f"<tr><td>{html.escape(f'{kind.title}: {each.name}{aged}')}</td>"
            + "".join(f"<td class=figure>{html.escape(cell)}</td>" for cell in cells)
            + f"<td class={'kept' if each.is_fine else 'missed'}>{text}</td></tr>"
        )
    head = "<tr><th></th><th>first → last</th><th>slope per hour (95 %)</th><th>verdict</th></tr>"
    return f"<h2>Slopes</h2><table>{head}{rows}</table>"


def _curves(kind: str, samples: Sequence[Sample]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in samples[:: len(samples) // POINTS_MAX + 1]:
        for name, value in sample.values.items():
            if name.partition("/")[0] == kind:
                lines.setdefault(name.partition("/")[2], []).append((sample.at, value))
    return lines
