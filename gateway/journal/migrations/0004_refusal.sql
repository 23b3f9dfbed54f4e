-- How often each token was refused, and why, counted over all push processes.
--
-- A push process adds what it has counted at most once a second. Refusals of requests without a valid token have token 0.
-- The codes are those of the gateway, so a token has some dozens of rows at most. Like everything else that changes while
-- counts come in, the rows of each election are stored apart from those of others.

CREATE TABLE valgnatt.refusal (
    election integer NOT NULL,
    token    bigint NOT NULL,           -- 0: the request had no valid token of the election
    code     text NOT NULL CHECK (code ~ '^[a-z_]{1,40}$'),
    count    bigint NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (election, token, code)
) PARTITION BY LIST (election);

-- Make the partition of an election of one table. It is attached, not made in place: that needs no lock that an append
-- would have to wait for.
CREATE FUNCTION valgnatt.add_partition(p_election integer, p_parent text, p_fillfactor integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE format('CREATE TABLE valgnatt.%I (LIKE valgnatt.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
                   ' WITH (fillfactor = %s)', p_parent || '_' || p_election, p_parent, p_fillfactor);
    EXECUTE format('ALTER TABLE valgnatt.%I ATTACH PARTITION valgnatt.%I FOR VALUES IN (%s)',
                   p_parent, p_parent || '_' || p_election, p_election);
END $$;

CREATE OR REPLACE FUNCTION valgnatt.add_partitions(p_election integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM valgnatt.add_partition(p_election, t.parent, t.fillfactor)
    FROM (VALUES ('head', 10), ('report', 100), ('confirmation', 10), ('contact', 50), ('refusal', 50))
        AS t (parent, fillfactor);
    EXECUTE format('CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'report_' || p_election);
END $$;

SELECT valgnatt.add_partition(e.key, 'refusal', 50) FROM valgnatt.election e;

-- Add counts of refusals. They are no part of the record, so their commit waits for the local disk only. The order of the
-- keys is the same in every process, so that two never wait for each other. A wait for a lock ends here, before its client
-- gives up: otherwise the statement would run later, in addition to the one with which the client repeats it.
CREATE FUNCTION valgnatt.count_refusals_v1(
    p_elections integer[], p_tokens bigint[], p_codes text[], p_counts bigint[], p_last timestamptz[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'local', true), set_config('lock_timeout', '1s', true);
    INSERT INTO valgnatt.refusal AS r (election, token, code, count, last_at)
    SELECT s.election, s.token, s.code, s.count, s.last_at
    FROM unnest(p_elections, p_tokens, p_codes, p_counts, p_last) AS s (election, token, code, count, last_at)
    JOIN valgnatt.election e ON e.key = s.election
    ORDER BY s.election, s.token, s.code
    ON CONFLICT (election, token, code)
    DO UPDATE SET count = r.count + excluded.count, last_at = greatest(r.last_at, excluded.last_at);
END $$;

REVOKE ALL ON FUNCTION
    valgnatt.add_partition(integer, text, integer),
    valgnatt.count_refusals_v1(integer[], bigint[], text[], bigint[], timestamptz[])
FROM PUBLIC;
