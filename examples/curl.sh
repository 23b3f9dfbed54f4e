#!/bin/sh
# Every request to a gateway, with curl. Set ELECTION, UNIT, AREA (an area above the unit) and VALGNATT_TOKEN.
set -eu
PUSH=${VALGNATT_PUSH_URL:-http://127.0.0.1:${VALGNATT_PUSH_PORT:-8081}}/v1/elections/$ELECTION
FEED=${VALGNATT_FEED_URL:-http://127.0.0.1:${VALGNATT_FEED_PORT:-8080}}/v1/elections/$ELECTION
ask() { curl --silent --show-error --fail-with-body --max-time 20 "$@"; }

echo "# push a count: 201 and its receipt; again: 200 and the same receipt"
for _ in 1 2; do
  ask --header "Authorization: Bearer $VALGNATT_TOKEN" --header 'Content-Type: application/json' --write-out ' %{http_code}\n' \
    --data '{"unit": "'"$UNIT"'", "revision": 1, "counted_at": "2025-09-08T22:36:55+02:00", "status": "preliminary", "counts": {}}' \
    "$PUSH/reports"
done

echo "# read it back, with its receipt"
ask --header "Authorization: Bearer $VALGNATT_TOKEN" "$PUSH/reports/$UNIT"; echo

echo "# an area and its children, as JSON and as a table"
ask "$FEED/areas/$AREA" | head -c 300; echo
ask --header 'Accept: text/csv' "$FEED/areas/$AREA" | head -3

echo "# the same as EML 510 (OASIS) and as NIST SP 1500-100; EML can be pushed too: --data-binary @FILE.xml"
ask --header 'Accept: application/xml' "$FEED/areas/$AREA" | head -c 300; echo
ask "$FEED/areas/$AREA?format=nist" | head -c 300; echo

echo "# every publication in order, one per line"
ask "$FEED/publications?after=0&limit=2"

echo "# where every count is, and how late"
ask "$FEED/transfers" | head -c 300; echo

echo "# follow: the complete state, then changes, until the connection ends (here after 3 s)"
curl --silent --no-buffer --max-time 3 "$FEED/feed?areas=$AREA" | cut -c 1-200 || test $? -eq 28

echo "# the same for publications, none skipped"
curl --silent --no-buffer --max-time 3 --header 'Accept: text/event-stream' "$FEED/publications" | cut -c 1-200 || test $? -eq 28
