#!/bin/sh
# Results from a mirror, with curl: a table, an area, and the newest state with the changes after it. Set MIRROR and ELECTION.
set -eu
E=$MIRROR/v1/elections/$ELECTION
ask() { curl --silent --show-error --fail --compressed --max-time 20 "$@"; }
kept=$(mktemp -d)
trap 'rm -r "$kept"' EXIT

echo "# every municipality and party as a table"
ask "$E/results.csv" | sed -n 1,3p

echo "# live.json names the newest files; with its ETag, it is sent again only once it has changed: 200, then 304"
for _ in 1 2; do
  ask --etag-compare "$kept/etag" --etag-save "$kept/etag" --output "$kept/new" --write-out '%{http_code}\n' "$E/live.json"
  test ! -s "$kept/new" || mv "$kept/new" "$kept/live.json"
done
member() { sed "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/" "$kept/live.json"; }
echo "history $(member history), sequence $(member sequence), written at $(member written_at)"

echo "# the newest snapshot of the root and the areas below it, and what has changed since; the last line is the block"
country=$(sed 's/.*"country":{\([^}]*\)}.*/\1/' "$kept/live.json")
at=$(echo "$country" | sed 's/.*"at":\([0-9]*\).*/\1/')
snapshot=$(echo "$country" | sed 's/.*"snapshot":\([0-9]*\).*/\1/')
ask "$E/live/$(member history)/country/at_$snapshot.ndjson" | cut -c 1-120
test "$at" = "$snapshot" || ask "$E/live/$(member history)/country/${snapshot}_$at.ndjson" | cut -c 1-120
