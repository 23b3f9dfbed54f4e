"""PURE: merge the metrics of several processes into one text.

Metrics are labelled with their process instead of being added up: a sum would hide a single slow process. Works on
Prometheus' text format 0.0.4 line by line, without parsing the numbers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{ \t])")
_HEAD = re.compile(r"# (HELP|TYPE) (\S+)")


@dataclass(slots=True)
class _Family:
    help: str = ""
    type: str = ""
    samples: list[str] = field(default_factory=list)


def merge_metrics(texts: Iterable[tuple[str | None, str]]) -> str:
    """Merge texts, each with the name of its process, or None if its samples are labelled already.

    Every sample gets the label `process`, which it must not have yet. HELP and TYPE of the first text that has them are
    written once, before all samples of a family. Lines that are not valid are dropped.
    """
    families: dict[str, _Family] = {}
    for process, text in texts:
        current = ""
        for line in text.split("\n"):
            if head := _HEAD.match(line):
                current = head[2]
                family = families.setdefault(current, _Family())
                if head[1] == "HELP":
                    family.help = family.help or line
                else:
                    family.type = family.type or line
            elif sample := _SAMPLE.match(line):
                name = current if _belongs(sample[1], current) else sample[1]
                families.setdefault(name, _Family()).samples.append(_labelled(line, sample.end(), process))
    lines = (
        line for family in families.values() for line in (family.help, family.type, *family.samples) if line
    )
    return "".join(f"{line}\n" for line in lines)


def _belongs(sample: str, family: str) -> bool:
    return (
        sample.startswith(family)
        and sample[len(family) :] in {"", "_bucket", "_sum", "_count"}
        and family != ""
    )


def _labelled(line: str, name_end: int, process: str | None) -> str:
    if process is None:
        return line
    name, rest = line[:name_end], line[name_end:]
    if not rest.startswith("{"):
        return f'{name}{{process="{process}"}}{rest}'
    comma = "" if rest[1:].lstrip().startswith("}") else ","
    return f'{name}{{process="{process}"{comma}{rest[1:]}'
