-- The one way into the log: a whole batch of appends in one call, one round trip, one transaction (design.md 5, ADR 0005).
--
-- A batch holds `p_items` items, numbered from 1; each is stored whole or not at all, independently of the others.
-- Three lists describe it, flattened into arrays:
--   commands  (item, id, fingerprint, stream)                  whose results are to be remembered
--   checks    (item, stream, version, written)                 the version at which each written and each read stream was seen;
--                                                              NULL: not checked
--   events    (item, command, stream, version, ...)            `command` is an index into the commands, NULL: of none
-- Returns a row an item: `stored` with the positions of its events, `known` (a command of it was carried out before: look it
-- up), or `conflict` with the stream that moved and its version now. A conflict is an answer here, never an exception.
--
-- Two items of one batch must not touch the same stream, one of them writing (eventlog/committer.py sees to that).

CREATE OR REPLACE FUNCTION log.append(
    p_items integer,
    p_command_item integer[], p_command_id uuid[], p_fingerprint bytea[], p_command_stream text[],
    p_check_item integer[], p_check_stream text[], p_check_version bigint[], p_check_written boolean[],
    p_event_item integer[], p_event_command integer[], p_stream text[], p_version bigint[], p_name text[],
    p_schema_version integer[], p_event_id uuid[], p_body bytea[], p_sealed bytea[], p_meta bytea[], p_hash bytea[]
) RETURNS TABLE (item integer, status text, positions bigint[], moved text, moved_to bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    locks_max constant integer := 256;             -- 40 000 advisory locks in one call exhaust shared memory
    writer_class constant integer := 1414287184;   -- 'TLOP': the class of registered writers; log.watermark knows it too
    lock record;
    locks integer := 0;
    head bigint;
    known integer[] := '{}';
    stale_items integer[] := '{}';
    stale_streams text[] := '{}';
    stale_versions bigint[] := '{}';
    numbers bigint[] := '{}';
BEGIN
    -- 1. Lock every stream, and every command's id, in one global order: no dead-lock can form.
    FOR lock IN
        SELECT hashtextextended(wanted.name, 0) AS key, bool_or(wanted.exclusive) AS exclusive
        FROM (SELECT checked.stream, checked.written FROM unnest(p_check_stream, p_check_written) AS checked (stream, written)
              UNION ALL SELECT 'command ' || c.id::text, true FROM unnest(p_command_id) AS c (id)) AS wanted (name, exclusive)
        GROUP BY 1 ORDER BY 1
    LOOP
        locks := locks + 1;
        IF locks > locks_max THEN
            RAISE EXCEPTION 'an append may lock % streams at most', locks_max USING ERRCODE = 'program_limit_exceeded';
        END IF;
        IF lock.exclusive THEN
            PERFORM pg_advisory_xact_lock(lock.key);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(lock.key);
        END IF;
    END LOOP;

    -- 2. Command memory. Each statement from here on sees what was committed before the locks were ours.
    IF cardinality(p_command_id) > 0 THEN
        known := ARRAY(SELECT c.item FROM unnest(p_command_item, p_command_id) AS c (item, id)
                       WHERE EXISTS (SELECT FROM log.commands m WHERE m.command_id = c.id));
    END IF;

    -- 3. Versions, of what is written and of what was read.
    SELECT coalesce(array_agg(seen.item), '{}'), coalesce(array_agg(seen.stream), '{}'), coalesce(array_agg(seen.actual), '{}')
    INTO stale_items, stale_streams, stale_versions
    FROM (SELECT c.item, c.stream, c.version,
                 coalesce((SELECT e.version FROM log.events e WHERE e.stream = c.stream ORDER BY e.version DESC LIMIT 1), 0) AS actual
          FROM unnest(p_check_item, p_check_stream, p_check_version) AS c (item, stream, version)
          WHERE c.version IS NOT NULL) AS seen
    WHERE seen.version <> seen.actual;

    -- 4. Register as a writer: "my positions are greater than head". Then, and only then, take positions.
    IF EXISTS (SELECT FROM unnest(p_event_item) AS e (item) WHERE e.item <> ALL (known) AND e.item <> ALL (stale_items)) THEN
        SELECT s.last_value - (NOT s.is_called)::integer INTO head FROM log.events_position_seq s;
        PERFORM pg_advisory_xact_lock_shared(writer_class + (head >> 31)::integer, (head & 2147483647)::integer);
        numbers := ARRAY(SELECT nextval('log.events_position_seq') FROM generate_series(1, cardinality(p_event_item)));

        -- 5. Insert.
        INSERT INTO log.events (position, stream, version, name, schema_version, event_id, body, sealed, meta, hash)
        SELECT numbers[e.n], e.stream, e.version, e.name, e.schema_version, e.event_id, e.body, e.sealed, e.meta, e.hash
        FROM unnest(p_event_item, p_stream, p_version, p_name, p_schema_version, p_event_id, p_body, p_sealed, p_meta, p_hash)
             WITH ORDINALITY AS e (item, stream, version, name, schema_version, event_id, body, sealed, meta, hash, n)
        WHERE e.item <> ALL (known) AND e.item <> ALL (stale_items)
        ORDER BY e.n;
    END IF;

    IF cardinality(p_command_id) > 0 THEN
        INSERT INTO log.commands (command_id, fingerprint, stream, positions)
        SELECT c.id, c.fingerprint, c.stream,
               ARRAY(SELECT numbers[e.n] FROM unnest(p_event_command) WITH ORDINALITY AS e (command, n) WHERE e.command = c.n ORDER BY e.n)
        FROM unnest(p_command_item, p_command_id, p_fingerprint, p_command_stream) WITH ORDINALITY AS c (item, id, fingerprint, stream, n)
        WHERE c.item <> ALL (known) AND c.item <> ALL (stale_items);
    END IF;

    RETURN QUERY
        SELECT i.item,
               CASE WHEN i.item = ANY (known) THEN 'known' WHEN i.item = ANY (stale_items) THEN 'conflict' ELSE 'stored' END,
               CASE WHEN i.item = ANY (known) OR i.item = ANY (stale_items) THEN '{}'::bigint[]
                    ELSE ARRAY(SELECT numbers[e.n] FROM unnest(p_event_item) WITH ORDINALITY AS e (item, n)
                               WHERE e.item = i.item ORDER BY e.n) END,
               stale_streams[array_position(stale_items, i.item)],
               stale_versions[array_position(stale_items, i.item)]
        FROM generate_series(1, p_items) AS i (item)
        ORDER BY i.item;
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
