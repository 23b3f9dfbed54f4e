-- Reports that wait for a receipt in each push process, for the board that any of them serves.
--
-- A process has a row per election while a report of it has waited for a second or more, and writes it at most once a
-- second. Rows of processes that have ended are no longer written: readers ignore old rows, and the next write deletes
-- them. Like everything else that changes while counts come in, the rows of each election are stored apart from those of
-- others.

CREATE TABLE valgnatt.waiting (
    election integer NOT NULL,
    process  bigint NOT NULL,           -- a random number of each process
    reports  integer NOT NULL CHECK (reports > 0),
    oldest_s double precision NOT NULL CHECK (oldest_s >= 0),
    at       timestamptz NOT NULL,      -- when this was so, by the clock of the database
    PRIMARY KEY (election, process)
) PARTITION BY LIST (election);

CREATE OR REPLACE FUNCTION valgnatt.add_partitions(p_election integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM valgnatt.add_partition(p_election, t.parent, t.fillfactor)
    FROM (VALUES ('head', 10), ('report', 100), ('confirmation', 10), ('contact', 50), ('refusal', 50), ('waiting', 50))
        AS t (parent, fillfactor);
    EXECUTE format('CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'report_' || p_election);
END $$;

SELECT valgnatt.add_partition(e.key, 'waiting', 50) FROM valgnatt.election e;

-- Replace the rows of one process, and delete those that were not written for a minute. No process waits for another:
-- old rows that another one deletes are skipped. Like counts of refusals, the commit waits for the local disk only, and a
-- wait for a lock ends before the client gives up.
CREATE FUNCTION valgnatt.note_waiting_v1(
    p_process bigint, p_elections integer[], p_reports integer[], p_oldest_s double precision[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'local', true), set_config('lock_timeout', '1s', true);
    DELETE FROM valgnatt.waiting w USING (
        SELECT o.election, o.process FROM valgnatt.waiting o
        WHERE o.at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED
    ) old
    WHERE w.election = old.election AND w.process = old.process;
    DELETE FROM valgnatt.waiting w WHERE w.process = p_process AND NOT w.election = ANY (p_elections);
    INSERT INTO valgnatt.waiting AS w (election, process, reports, oldest_s, at)
    SELECT s.election, p_process, s.reports, s.oldest_s, clock_timestamp()
    FROM unnest(p_elections, p_reports, p_oldest_s) AS s (election, reports, oldest_s)
    JOIN valgnatt.election e ON e.key = s.election
    ON CONFLICT (election, process)
    DO UPDATE SET reports = excluded.reports, oldest_s = excluded.oldest_s, at = excluded.at;
END $$;

REVOKE ALL ON FUNCTION valgnatt.note_waiting_v1(bigint, integer[], integer[], double precision[]) FROM PUBLIC;
