"""Read the results of all municipalities into a data frame, and show the largest party of each.

    python examples/results_frame.py ELECTION https://cdn.example/results

The URL is that of a mirror; without one, a gateway is asked for the same table. Needs pandas or polars.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

FEED = (
    os.environ.get("VALGNATT_FEED_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_FEED_PORT', '8080')}"
)
IDENTIFIERS = ("area", "parent", "party")
"""Columns of texts, such as 0301, which would otherwise be read as numbers."""


def address(election: str, mirror: str | None) -> str:
    name = quote(election, safe="")
    if mirror is not None:
        return f"{mirror.rstrip('/')}/v1/elections/{name}/results.csv"
    return f"{FEED}/v1/elections/{name}/areas?level=municipality&format=csv"


def with_pandas(url: str) -> Any:
    pandas = import_module("pandas")
    table = pandas.read_csv(url, dtype=dict.fromkeys(IDENTIFIERS, str))
    counted = table[table["party_votes"] > 0]
    largest = counted.loc[counted.groupby("area")["party_votes"].idxmax()]
    return largest[["area", "name", "party", "party_votes", "share_percent"]].to_string(index=False)


def with_polars(url: str) -> Any:
    polars = import_module("polars")
    texts = dict.fromkeys(IDENTIFIERS, polars.String)
    with urlopen(url) as answer:
        table = polars.read_csv(answer.read(), schema_overrides=texts, infer_schema_length=None)
    largest = (
        table.filter(polars.col("party_votes") > 0)
        .sort("party_votes", descending=True)
        .unique("area", keep="first")
    )
    return largest.sort("area").select("area", "name", "party", "party_votes", "share_percent")


def main(election: str, mirror: str | None = None) -> None:
    found = [name for name in ("pandas", "polars") if find_spec(name) is not None]
    if not found:
        sys.exit("this example needs pandas or polars: pip install pandas")
    read = with_pandas if found[0] == "pandas" else with_polars
    print(read(address(election, mirror)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
