"""Show the seats, how far each bloc is from a majority, who is next for a seat, and the change since the last election.

    python examples/seats.py ELECTION

Needs nothing but Python. Seats are a projection from what is counted so far: an authority determines them.
"""

import json
import os
import sys
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

FEED = (
    os.environ.get("VALGNATT_FEED_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_FEED_PORT', '8080')}"
)


def get(path: str) -> Any:
    with urlopen(f"{FEED}/v1/elections/{path}") as answer:
        return json.load(answer)


def main(election: str) -> None:
    header = get(quote(election))["registry"]["election"]
    table = get(f"{quote(election)}/seats")
    country = get(f"{quote(election)}/areas/{quote(table['area'])}?at_least={table['record']['sequence']}")
    total = table["ordinary"] + table["levelling"]
    majority = total // 2 + 1
    units = country["units"]
    print(f"A projection of {total} seats: {units['reported']} of {units['total']} units have reported")
    change = (country.get("change") or {}).get("shares", {})
    seats = {party: each["seats"] for party, each in table["seats"]["by_party"].items()}
    for party in sorted(seats, key=lambda party: -seats[party]):
        points = f"  {change[party]:+.2f} points" if change.get(party) is not None else ""
        print(f"{party:<10}{seats[party]:>4}{points}")
    for bloc in header.get("blocs", []):
        has = sum(seats.get(party, 0) for party in bloc["parties"])
        print(f"{bloc['name']}: {has}, {'a majority' if has >= majority else f'{majority - has} short'}")
    close = [each for each in table["districts"] if each["next"]]
    for each in sorted(close, key=lambda district: district["next"]["lacks"])[:10]:
        party, lacks = each["next"]["party"], each["next"]["lacks"]
        print(f"{each['name']}: {lacks} more votes for {party} take the last seat of {each['last']['party']}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except HTTPError as error:  # an unknown election, or one whose registry does not say how seats are given
        sys.exit(json.load(error)["detail"])
