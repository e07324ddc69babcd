-- The one way into the log: a whole batch of appends in one call, one round trip, one transaction (design.md 5, ADR 0005).
--
-- All of it is stored, or nothing. Three lists describe it, flattened into arrays, each numbered from 1:
--   commands  (id, fingerprint, stream, first, last)     whose results are to be remembered: the events `first` to `last`
--   checks    (stream, version, written)                 the version at which each written and each read stream was seen; NULL: not
--                                                        checked. In order of the streams: it is the order in which they are locked
--   events    (stream, version, ...)
-- Answers with one row. Either the positions of all events in their order; or what stood against it: the commands that are `known`
-- (carried out before: look them up), and the checks whose stream `moved`, with its version now. Then nothing was stored, and the
-- caller comes again with the rest. A conflict is an answer here, never an exception.
--
-- Every statement of a function that is called a thousand times a second counts: what needs no table is an assignment, which runs
-- without an executor; arrays are read side by side as `SELECT unnest(a), unnest(b)`, since `FROM unnest(a, b)` keeps a copy of each.

CREATE OR REPLACE FUNCTION log.append(
    p_command_id uuid[], p_fingerprint bytea[], p_command_stream text[], p_command_first integer[], p_command_last integer[],
    p_check_stream text[], p_check_version bigint[], p_check_written boolean[],
    p_stream text[], p_version bigint[], p_name text[], p_schema_version integer[], p_event_id uuid[],
    p_body bytea[], p_sealed bytea[], p_meta bytea[], p_hash bytea[],
    OUT positions bigint[], OUT known integer[], OUT moved integer[], OUT moved_to bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    locks_max constant integer := 256;             -- 40 000 advisory locks in one call exhaust shared memory
    writer_class constant integer := 1414287184;   -- 'TLOP': the class of registered writers; log.watermark knows it too
    head bigint;
    locked boolean;
BEGIN
    IF cardinality(p_check_stream) > locks_max THEN
        RAISE EXCEPTION 'an append may lock % streams at most', locks_max USING ERRCODE = 'program_limit_exceeded';
    END IF;

    -- 1. Lock every stream, in one global order: no dead-lock can form.
    FOR i IN 1 .. cardinality(p_check_stream) LOOP
        locked := CASE WHEN p_check_written[i] THEN pg_advisory_xact_lock(hashtextextended(p_check_stream[i], 0)) IS NOT NULL
                       ELSE pg_advisory_xact_lock_shared(hashtextextended(p_check_stream[i], 0)) IS NOT NULL END;
    END LOOP;

    -- 2. Command memory, and the versions of what is written and of what was read. Each statement from here on sees what was
    --    committed before the locks were ours.
    IF EXISTS (SELECT FROM log.commands m WHERE m.command_id = ANY (p_command_id))
       OR EXISTS (SELECT FROM (SELECT unnest(p_check_stream), unnest(p_check_version)) AS c (stream, version)
                  WHERE c.version <> coalesce(
                      (SELECT e.version FROM log.events e WHERE e.stream = c.stream ORDER BY e.version DESC LIMIT 1), 0))
    THEN
        SELECT coalesce(array_agg(c.number), '{}') INTO known
        FROM unnest(p_command_id) WITH ORDINALITY AS c (id, number)
        WHERE EXISTS (SELECT FROM log.commands m WHERE m.command_id = c.id);

        SELECT coalesce(array_agg(seen.number), '{}'), coalesce(array_agg(seen.actual), '{}') INTO moved, moved_to
        FROM (SELECT c.number, c.version,
                     coalesce((SELECT e.version FROM log.events e WHERE e.stream = c.stream ORDER BY e.version DESC LIMIT 1), 0) AS actual
              FROM unnest(p_check_stream, p_check_version) WITH ORDINALITY AS c (stream, version, number)) AS seen
        WHERE seen.version <> seen.actual;
        RETURN;
    END IF;

    positions := '{}';
    IF cardinality(p_stream) > 0 THEN
        -- 3. Register as a writer: "my positions are greater than head". Then, and only then, take positions.
        head := coalesce(pg_sequence_last_value('log.events_position_seq'), 0);
        locked := pg_advisory_xact_lock_shared(writer_class + (head >> 31)::integer, (head & 2147483647)::integer) IS NOT NULL;
        FOR i IN 1 .. cardinality(p_stream) LOOP
            positions[i] := nextval('log.events_position_seq');
        END LOOP;

        -- 4. Insert.
        INSERT INTO log.events (position, stream, version, name, schema_version, event_id, body, sealed, meta, hash)
        SELECT unnest(positions), unnest(p_stream), unnest(p_version), unnest(p_name), unnest(p_schema_version),
               unnest(p_event_id), unnest(p_body), unnest(p_sealed), unnest(p_meta), unnest(p_hash);
    END IF;

    -- In order of their ids, so that no dead-lock can form: of two transactions that store one command under different streams'
    -- locks, the second waits here for the first and fails (the recorder then asks again).
    INSERT INTO log.commands (command_id, fingerprint, stream, positions)
    SELECT unnest(p_command_id), unnest(p_fingerprint), unnest(p_command_stream),
           positions[unnest(p_command_first) : unnest(p_command_last)];
END $$;

-- The highest number drawn so far, stored or not: cheap, for noticing news; never a bound for reading.
CREATE OR REPLACE FUNCTION log.head() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.last_value - (NOT s.is_called)::integer FROM log.events_position_seq s
$$;

-- The lowest bound that a registered writer of this database still holds back, or NULL. Must be asked after the head and before
-- the rows, each as a statement of its own; `database` because locks are seen across databases, `objsubid = 2` because the
-- stream locks (one key) could look like ours.
CREATE OR REPLACE FUNCTION log.held_back() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(((l.classid::bigint - 1414287184) << 31) | l.objid::bigint)
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.classid::bigint BETWEEN 1414287184 AND 1414287184 + 255
$$;

-- The position up to which everything that will ever be there is there: the head first, then the registered writers, each as a
-- statement of its own, in one round trip. An append that owns a position up to the head drew it before the first statement, so it
-- held its lock before the second: either the second sees the lock, and the bound is below its positions, or it has ended.
CREATE OR REPLACE FUNCTION log.watermark() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint;
    held_back bigint;
BEGIN
    head := log.head();
    held_back := log.held_back();
    RETURN least(head, held_back);   -- NULL, where nobody holds anything back, is ignored
END $$;
