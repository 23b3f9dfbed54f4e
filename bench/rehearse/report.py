"""Reports of runs: a self-contained HTML page, a JSON file for comparing, and two runs side by side."""

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.earlier import keep_earlier
from bench.rehearse.run import Level, Run

Lines = Mapping[str, Sequence[tuple[float, float]]]


class Plot(msgspec.Struct, frozen=True):
    """How a group of curves is drawn. Values are multiplied by `scale` to be in `unit`."""

    name: str
    title: str
    unit: str
    scale: float = 1.0
    logarithmic: bool = False


PLOTS = (
    Plot("rate", "Reports per second", "reports/s"),
    Plot("latency", "Latency from when a report was due", "ms", 1000.0, logarithmic=True),
    Plot("delivered", "Publications delivered to readers per second", "deliveries/s"),
    Plot("readers", "Connected readers", "readers"),
    Plot("queue", "Reports waiting for a commit", "reports"),
    Plot("age", "Age of the oldest report without an answer", "ms", 1000.0),
    Plot("cpu", "CPU", "cores"),
    Plot("memory", "Resident memory", "MB"),
)

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def verdict_of(run: Run) -> str:
    """Return the verdict: GO, NO GO, or INVALID if the figures are meaningless."""
    return "INVALID" if run.invalid else "GO" if run.go else "NO GO"


def summary(run: Run) -> list[str]:
    """Return a run as lines for a terminal."""
    lines = [f"{run.scenario}: {verdict_of(run)}"]
    lines += [f"  invalid    {reason}" for reason in run.invalid]
    lines += [f"  broken     {broken.guarantee}: {broken.example}" for broken in run.broken]
    lines += [
        f"  {'kept' if level.kept else 'MISSED':10} {level.name} = {formatted(level.name, level.found)},"
        f" at most {formatted(level.name, level.limit)}"
        for level in run.verdict
        if level.found is not None
    ]
    for name, figures in run.latencies.items():
        parts = ", ".join(
            f"{part} {seconds(figures[part])}" for part in ("p50", "p99", "max") if part in figures
        )
        lines.append(f"  {name:20} {parts} (of {figures.get('count', 0):.0f})")
    lines += [f"  {name:20} {value:,.6g}".replace(",", " ") for name, value in run.figures.items()]
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(run.outcomes.items()))
    lines.append(f"  {'outcomes':20} {outcomes or 'none'}")
    return lines


def seconds(value: float) -> str:
    """Return a time for display."""
    if value < 1.0:
        return f"{1e3 * value:.3g} ms"
    return f"{value:.3g} s"


def formatted(name: str, value: float | None) -> str:
    """Return a figure for display; its name shows whether it is a time."""
    if value is None:
        return "not measured"
    if "." in name or (name.endswith("_s") and not name.endswith("per_s")):
        return seconds(value)
    return f"{value:,.4g}".replace(",", " ")


def write(run: Run, directory: Path) -> tuple[Path, Path]:
    """Write the page and the JSON file into a directory, beside those of earlier runs; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    page, data = directory / f"{run.scenario}.html", directory / f"{run.scenario}.json"
    keep_earlier(page, data)
    data.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
    page.write_text(page_of(run), encoding="utf-8")
    return page, data


def read(path: Path) -> Run:
    """Read a JSON file that `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def page_of(run: Run) -> str:
    """Return the report of a run as HTML."""
    word = verdict_of(run)
    colour = {"GO": "go", "NO GO": "no", "INVALID": "void"}[word]
    parts = [
        f"<h1>{_e(run.scenario)}</h1><p class=about>{_e(run.about)}</p>",
        f"<p><span class='verdict {colour}'>{word}</span></p>",
        *(f"<p class=missed>Invalid: {_e(reason)}</p>" for reason in run.invalid),
        *(
            f"<p class=missed>Broken: {_e(broken.guarantee)}: {_e(broken.example)}</p>"
            for broken in run.broken
        ),
        _levels(run.verdict),
        _latencies(run),
    ]
    ends = [points[-1][0] for lines in run.curves.values() for points in lines.values() if points]
    until = 1.02 * max([*ends, *(at for at, _ in run.marks)], default=0.0)
    parts += [
        f"<figure>{draw(plot, run.curves[plot.name], run.marks, until)}</figure>"
        for plot in PLOTS
        if any(run.curves.get(plot.name, {}).values())
    ]
    parts += [
        _table("Figures", {name: f"{value:,.6g}".replace(",", " ") for name, value in run.figures.items()}),
        _table("Outcomes", {name: str(count) for name, count in sorted(run.outcomes.items())}),
        _table("Options", {name: str(value) for name, value in run.options.items()}),
        _table("Environment", {name: str(value) for name, value in run.environment.items()}),
        f"<p><small>{_e(run.started_at)}, {run.seconds:.1f} s</small></p>",
    ]
    return page(f"{run.scenario}: {word}", parts)


def compare(first: Run, second: Run) -> list[tuple[str, str, str, str]]:
    """Return the figures of two runs side by side: name, first, second, and the ratio of second to first."""
    rows = []
    for name in dict.fromkeys([*_all_figures(first), *_all_figures(second)]):
        one, other = first.figure(name), second.figure(name)
        ratio = f"{other / one:.2f} ×" if one and other is not None else ""
        rows.append((name, formatted(name, one), formatted(name, other), ratio))
    return rows


def comparison_page(first: Run, second: Run) -> str:
    """Return two runs side by side as HTML."""
    rows = "".join(
        f"<tr><td>{_e(name)}</td>{''.join(f'<td class=figure>{each}</td>' for each in (one, other, ratio))}</tr>"
        for name, one, other, ratio in compare(first, second)
    )
    parts = [
        f"<h1>{_e(first.scenario)} and {_e(second.scenario)}</h1>",
        (
            f"<p class=about>{_e(first.started_at)} ({verdict_of(first)}), "
            f"{_e(second.started_at)} ({verdict_of(second)})</p>"
        ),
        f"<table><tr><th></th><th>first</th><th>second</th><th>second / first</th></tr>{rows}</table>",
    ]
    for plot in PLOTS:
        lines = {
            f"{which}: {line}": points
            for which, run in (("first", first), ("second", second))
            for line, points in run.curves.get(plot.name, {}).items()
        }
        if any(lines.values()) and plot.name in ("rate", "latency", "cpu"):
            parts.append(f"<figure>{draw(plot, lines, [])}</figure>")
    return page("Comparison", parts)


def draw(plot: Plot, lines: Lines, marks: Sequence[tuple[float, str]], until: float | None = None) -> str:
    """Return a plot as an SVG element; the time axis ends at `until`, in s."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": plot.title, "font.family": "sans-serif", "font.size": 10}
    )
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, axes = plt.subplots(figsize=(9.0, 3.2), layout="constrained")
    for name, points in lines.items():
        if points:
            axes.plot(
                [at for at, _ in points],
                [plot.scale * value for _, value in points],
                label=name,
                linewidth=1.6,
            )
    if plot.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlim(left=0, right=until)
    for at, text in marks:
        axes.axvline(at, color="#888", linewidth=0.8, linestyle="--")
        axes.annotate(text, (at, 1.0), xycoords=("data", "axes fraction"), fontsize=8, color="#555", rotation=90,
                      xytext=(2, -4), textcoords="offset points", va="top")  # fmt: skip
    axes.set(title=plot.title, ylabel=plot.unit, xlabel="seconds")
    axes.grid(visible=True, color="#e3e6ea", linewidth=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = written.getvalue()
    return text[text.index("<svg") :]


def _all_figures(run: Run) -> list[str]:
    parts = [f"{name}.{part}" for name in run.latencies for part in ("p50", "p99", "max")]
    return [*parts, *run.figures]


def _levels(levels: Sequence[Level]) -> str:
    rows = "".join(
        f"<tr><td>{_e(level.name)}</td>"
        f"<td class='figure {_colour(level)}'>{formatted(level.name, level.found)}</td>"
        f"<td class=figure>{formatted(level.name, level.limit)}</td></tr>"
        for level in levels
    )
    return f"<h2>Service levels</h2><table><tr><th></th><th>measured</th><th>at most</th></tr>{rows}</table>"


def _colour(level: Level) -> str:
    if level.found is None:
        return "about"
    return "kept" if level.kept else "missed"


def _latencies(run: Run) -> str:
    parts = ("p50", "p90", "p99", "p999", "max")
    rows = "".join(
        f"<tr><td>{_e(name)}</td>"
        + "".join(f"<td class=figure>{seconds(found[part]) if part in found else ''}</td>" for part in parts)
        + f"<td class=figure>{found.get('count', 0):,.0f}</td></tr>".replace(",", " ")
        for name, found in run.latencies.items()
    )
    head = "".join(f"<th>{part}</th>" for part in (*parts, "of"))
    return f"<h2>Latencies</h2><table><tr><th></th>{head}</tr>{rows}</table>"


def _table(title: str, rows: Mapping[str, str]) -> str:
    cells = "".join(
        f"<tr><td>{_e(name)}</td><td class=figure>{_e(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<h2>{title}</h2><table>{cells}</table>" if rows else ""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a self-contained HTML page."""
    head = f"<meta charset=utf-8><title>{_e(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}{''.join(parts)}</html>\n"


def _e(text: str) -> str:
    return html.escape(text)
