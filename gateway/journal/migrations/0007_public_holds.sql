-- What feeds may show of holds: the list of holds, and in the record since when and by which rules a report was held.
--
-- Like everything else of an election, none of it is shown before the end of the embargo, which is checked first, and
-- later only as far as the synchronous standby has it. The earlier functions remain for feed processes of the version
-- before, while the gateways of an installation are replaced; their results are the same as before.

-- As `shown`, and also: how many lines of the list of holds may be shown, and the chain through them.
CREATE FUNCTION valgnatt.shown_v2(
    p_election integer,
    OUT released_at timestamptz,
    OUT closed_at timestamptz,
    OUT sequence bigint,
    OUT chain bytea,
    OUT accepted bigint,
    OUT hold_lines bigint,
    OUT hold_chain bytea
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    embargo valgnatt.embargo%ROWTYPE;
    head record;
    last_line record;
BEGIN
    sequence := 0;
    chain := decode(repeat('00', 32), 'hex');
    accepted := 0;
    hold_lines := 0;
    hold_chain := chain;
    SELECT * INTO embargo FROM valgnatt.embargo e WHERE e.election = p_election;
    IF embargo.released_at IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT h.accepted, h.chain, h.closed_at, h.appends, h.hold_lines, h.hold_chain,'
                   ' greatest(h.confirmed_append, c.append) AS append,'
                   ' least(h.accepted, greatest(h.confirmed, c.sequence)) AS confirmed'
                   ' FROM valgnatt.%I h CROSS JOIN valgnatt.%I c',
                   'head_' || p_election, 'confirmation_' || p_election)
    INTO head;
    IF head.append < embargo.released_by THEN
        RETURN;
    END IF;
    released_at := embargo.released_at;
    closed_at := head.closed_at;
    accepted := head.accepted;
    sequence := head.confirmed;
    IF sequence = accepted THEN
        chain := head.chain;
    ELSIF sequence > 0 THEN
        EXECUTE format('SELECT r.chain FROM valgnatt.%I r WHERE r.election = $1 AND r.sequence = $2',
                       'report_' || p_election)
        INTO chain USING p_election, sequence;
    END IF;
    IF head.hold_lines = 0 OR head.append >= head.appends THEN
        hold_lines := head.hold_lines;
        hold_chain := head.hold_chain;
    ELSE
        -- The numbers of appends rise along the list, so only lines that are not confirmed are passed over.
        EXECUTE format('SELECT l.number, l.chain FROM valgnatt.%I l WHERE l.election = $1 AND l.append <= $2'
                       ' ORDER BY l.number DESC LIMIT 1',
                       'hold_line_' || p_election)
        INTO last_line USING p_election, head.append;
        hold_lines := coalesce(last_line.number, 0);
        hold_chain := coalesce(last_line.chain, hold_chain);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION valgnatt.shown(
    p_election integer,
    OUT released_at timestamptz,
    OUT closed_at timestamptz,
    OUT sequence bigint,
    OUT chain bytea,
    OUT accepted bigint
) LANGUAGE sql STABLE AS $$
    SELECT s.released_at, s.closed_at, s.sequence, s.chain, s.accepted FROM valgnatt.shown_v2(p_election) s
$$;

CREATE FUNCTION valgnatt_public.elections_v2()
RETURNS TABLE (
    key integer, id text, loaded_at timestamptz, publish_from timestamptz, released_at timestamptz,
    closed_at timestamptz, sequence bigint, chain bytea, accepted bigint, standby boolean, hold_lines bigint,
    hold_chain bytea
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    election record;
    shown record;
BEGIN
    FOR election IN
        SELECT e.key, e.id, e.loaded_at, m.publish_from
        FROM valgnatt.election e JOIN valgnatt.embargo m ON m.election = e.key ORDER BY e.key
    LOOP
        shown := valgnatt.shown_v2(election.key);
        RETURN QUERY SELECT election.key, election.id, election.loaded_at, election.publish_from, shown.released_at,
                            shown.closed_at, shown.sequence, shown.chain, shown.accepted, pg_is_in_recovery(),
                            shown.hold_lines, shown.hold_chain;
    END LOOP;
END $$;

-- As `record`, and also since when and by which rules a report was held before it was released; null: it was not.
CREATE FUNCTION valgnatt_public.record_v2(p_election integer, p_after bigint, p_most integer)
RETURNS TABLE (
    sequence bigint, published_at timestamptz, unit text, revision integer, digest bytea, chain bytea, body bytea,
    received_at timestamptz, accepted_at timestamptz, held_since timestamptz, held_rules text[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown_v2(p_election);
BEGIN
    IF shown.released_at IS NULL OR shown.sequence <= p_after THEN
        RETURN;
    END IF;
    IF shown.hold_lines = 0 THEN
        RETURN QUERY EXECUTE format(
            'SELECT r.sequence, greatest(r.accepted_at, $4), r.unit, r.revision, r.digest, r.chain, r.body,'
            ' r.received_at, r.accepted_at, NULL::timestamptz, NULL::text[] FROM valgnatt.%I r'
            ' WHERE r.election = $1 AND r.sequence > $2 AND r.sequence <= $3 ORDER BY r.sequence',
            'report_' || p_election)
        USING p_election, p_after, least(shown.sequence, p_after + least(p_most, 10000)), shown.released_at;
    ELSE
        RETURN QUERY EXECUTE format(
            'SELECT r.sequence, greatest(r.accepted_at, $4), r.unit, r.revision, r.digest, r.chain, r.body,'
            ' r.received_at, r.accepted_at, h.since, h.codes FROM valgnatt.%I r'
            ' LEFT JOIN valgnatt.%I h ON h.election = r.election AND h.unit = r.unit AND h.revision = r.revision'
            ' WHERE r.election = $1 AND r.sequence > $2 AND r.sequence <= $3 ORDER BY r.sequence',
            'report_' || p_election, 'hold_' || p_election)
        USING p_election, p_after, least(shown.sequence, p_after + least(p_most, 10000)), shown.released_at;
    END IF;
END $$;

-- Up to `p_most` (at most 10 000) lines of the list of holds after a number, in order. `since` says since when the unit
-- has been held, also across superseded reports.
CREATE FUNCTION valgnatt_public.hold_lines(p_election integer, p_after bigint, p_most integer)
RETURNS TABLE (number bigint, line bytea, chain bytea, unit text, state text, since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown_v2(p_election);
BEGIN
    IF shown.released_at IS NOT NULL AND shown.hold_lines > p_after THEN
        RETURN QUERY EXECUTE format(
            'SELECT l.number, l.line, l.chain, l.unit, l.state, coalesce(h.since, l.at) FROM valgnatt.%I l'
            ' LEFT JOIN valgnatt.%I h ON h.election = l.election AND h.unit = l.unit AND h.revision = l.revision'
            ' WHERE l.election = $1 AND l.number > $2 AND l.number <= $3 ORDER BY l.number',
            'hold_line_' || p_election, 'hold_' || p_election)
        USING p_election, p_after, least(shown.hold_lines, p_after + least(p_most, 10000));
    END IF;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt, valgnatt_public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    valgnatt_public.elections_v2(),
    valgnatt_public.record_v2(integer, bigint, integer),
    valgnatt_public.hold_lines(integer, bigint, integer)
TO valgnatt_feed;
