-- The one way into the log: a whole batch of appends in one call, one round trip, one transaction (design.md 5, ADR 0005).
--
-- A batch holds `p_items` items, numbered from 1; each is stored whole or not at all, independently of the others.
-- Three lists describe it, flattened into arrays:
--   commands  (item, id, fingerprint, stream, first, last)     whose results are to be remembered: the events `first` to `last`
--   checks    (item, stream, version, written)                 the version at which each written and each read stream was seen;
--                                                              NULL: not checked
--   events    (item, stream, version, ...)
-- Answers with one row: the positions of all events in their order, the items of which a command was `known` (carried out before:
-- look it up), and those whose stream `moved`, with that stream and its version now. Of both nothing was stored; the rest was.
-- A conflict is an answer here, never an exception.
--
-- The arrays are read side by side as `SELECT unnest(a), unnest(b)`: `FROM unnest(a, b)` says the same and keeps a copy of each,
-- which costs a single append a quarter of its time.
--
-- Two items of one batch must not touch the same stream, one of them writing (eventlog/committer.py sees to that).

CREATE OR REPLACE FUNCTION log.append(
    p_items integer,
    p_command_item integer[], p_command_id uuid[], p_fingerprint bytea[], p_command_stream text[],
    p_command_first integer[], p_command_last integer[],
    p_check_item integer[], p_check_stream text[], p_check_version bigint[], p_check_written boolean[],
    p_event_item integer[], p_stream text[], p_version bigint[], p_name text[],
    p_schema_version integer[], p_event_id uuid[], p_body bytea[], p_sealed bytea[], p_meta bytea[], p_hash bytea[],
    OUT positions bigint[], OUT known integer[], OUT moved integer[], OUT moved_stream text[], OUT moved_to bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    locks_max constant integer := 256;             -- 40 000 advisory locks in one call exhaust shared memory
    writer_class constant integer := 1414287184;   -- 'TLOP': the class of registered writers; log.watermark knows it too
    refused integer[];
BEGIN
    IF cardinality(p_check_stream) > locks_max THEN
        RAISE EXCEPTION 'an append may lock % streams at most', locks_max USING ERRCODE = 'program_limit_exceeded';
    END IF;

    -- 1. Lock every stream, in one global order: no dead-lock can form. The order is that of the subquery's rows, which are locked
    --    one after the other as they come out of it.
    PERFORM CASE WHEN wanted.exclusive THEN pg_advisory_xact_lock(wanted.key) ELSE pg_advisory_xact_lock_shared(wanted.key) END
    FROM (SELECT hashtextextended(c.stream, 0) AS key, bool_or(c.written) AS exclusive
          FROM (SELECT unnest(p_check_stream), unnest(p_check_written)) AS c (stream, written)
          GROUP BY 1 ORDER BY 1) AS wanted;

    -- 2. Command memory, and the versions of what is written and of what was read. Each statement from here on sees what was
    --    committed before the locks were ours.
    SELECT coalesce(array_agg(c.item), '{}') INTO known
    FROM (SELECT unnest(p_command_item), unnest(p_command_id)) AS c (item, id)
    WHERE EXISTS (SELECT FROM log.commands m WHERE m.command_id = c.id);

    SELECT coalesce(array_agg(seen.item), '{}'), coalesce(array_agg(seen.stream), '{}'), coalesce(array_agg(seen.actual), '{}')
    INTO moved, moved_stream, moved_to
    FROM (SELECT c.item, c.stream, c.version,
                 coalesce((SELECT e.version FROM log.events e WHERE e.stream = c.stream ORDER BY e.version DESC LIMIT 1), 0) AS actual
          FROM (SELECT unnest(p_check_item), unnest(p_check_stream), unnest(p_check_version)) AS c (item, stream, version)
          WHERE c.version IS NOT NULL) AS seen
    WHERE seen.version <> seen.actual;

    positions := '{}';
    refused := known || moved;
    IF cardinality(refused) > 0 THEN
        IF NOT EXISTS (SELECT FROM generate_series(1, p_items) AS i (item) WHERE i.item <> ALL (refused)) THEN
            RETURN;
        END IF;
    END IF;

    IF cardinality(p_event_item) > 0 THEN
        -- 3. Register as a writer: "my positions are greater than head". Then, and only then, take positions.
        PERFORM pg_advisory_xact_lock_shared(writer_class + (drawn.head >> 31)::integer, (drawn.head & 2147483647)::integer)
        FROM (SELECT s.last_value - (NOT s.is_called)::integer FROM log.events_position_seq s) AS drawn (head);
        positions := ARRAY(SELECT nextval('log.events_position_seq') FROM generate_series(1, cardinality(p_event_item)));

        -- 4. Insert.
        INSERT INTO log.events (position, stream, version, name, schema_version, event_id, body, sealed, meta, hash)
        SELECT e.position, e.stream, e.version, e.name, e.schema_version, e.event_id, e.body, e.sealed, e.meta, e.hash
        FROM (SELECT unnest(p_event_item), unnest(positions), unnest(p_stream), unnest(p_version), unnest(p_name),
                     unnest(p_schema_version), unnest(p_event_id), unnest(p_body), unnest(p_sealed), unnest(p_meta), unnest(p_hash))
             AS e (item, position, stream, version, name, schema_version, event_id, body, sealed, meta, hash)
        WHERE e.item <> ALL (refused);
    END IF;

    -- In order of their ids, so that no dead-lock can form: of two transactions that store one command under different streams'
    -- locks, the second waits here for the first and fails (the recorder then asks again).
    INSERT INTO log.commands (command_id, fingerprint, stream, positions)
    SELECT c.id, c.fingerprint, c.stream, positions[c.first:c.last]
    FROM (SELECT unnest(p_command_item), unnest(p_command_id), unnest(p_fingerprint), unnest(p_command_stream),
                 unnest(p_command_first), unnest(p_command_last))
         AS c (item, id, fingerprint, stream, first, last)
    WHERE c.item <> ALL (refused)
    ORDER BY c.id;
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
