-- The log's tables. Run by the owner through eventlog.database.create, before append.sql; may be run any number of times.
-- No statement here may change or drop a stored event.

CREATE SCHEMA IF NOT EXISTS log;

-- CACHE 1 (the default) is part of the order's proof: a session that kept numbers back would write below readers (ADR 0005).
CREATE SEQUENCE IF NOT EXISTS log.events_position_seq AS bigint CACHE 1;

-- One row an event. Bodies are bytes, because jsonb reorders keys and refuses \u0000, and a hash must hold for ever.
CREATE TABLE IF NOT EXISTS log.events (
    position        bigint      NOT NULL PRIMARY KEY,
    stream          text        COLLATE "C" NOT NULL,
    version         bigint      NOT NULL,
    name            text        NOT NULL,
    schema_version  integer     NOT NULL,
    event_id        uuid        NOT NULL,
    body            bytea       NOT NULL,
    sealed          bytea,
    meta            bytea       NOT NULL,
    hash            bytea       NOT NULL,
    UNIQUE (stream, version)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

ALTER SEQUENCE log.events_position_seq OWNED BY log.events.position;

-- Few rows, asked for often: whose erasure is still to be finished (eventlog/erasure.py).
CREATE INDEX IF NOT EXISTS events_erasures ON log.events (stream) WHERE name = 'member.personal-data-erased';

-- What each command led to the first time: the answer to every repetition of it.
CREATE TABLE IF NOT EXISTS log.commands (
    command_id      uuid        NOT NULL PRIMARY KEY,
    fingerprint     bytea       NOT NULL,
    stream          text        COLLATE "C" NOT NULL,
    positions       bigint[]    NOT NULL
);

-- A new row after every restore of the database: positions went backwards, so whoever knows another id stops until rebuilt.
-- `origin` is the server, its timeline and the database in which that life is lived: a dump that was read in, a recovery to a
-- point in time or a promoted standby has another one. A copy of stopped files has not: there, new_incarnation is to be called.
CREATE TABLE IF NOT EXISTS log.incarnations (
    number          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE log.incarnations ADD COLUMN IF NOT EXISTS origin text;

CREATE OR REPLACE FUNCTION log.origin() RETURNS text LANGUAGE sql AS $$
    SELECT s.system_identifier || '/' || c.timeline_id || '/' || d.oid
    FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()
$$;

-- Called by the restore procedure, and by whoever sets up: from now on, readers that know the old incarnation refuse to run.
CREATE OR REPLACE FUNCTION log.new_incarnation() RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO log.incarnations (origin) SELECT log.origin() RETURNING id
$$;

-- Run at every start: a new life, where the last one was lived elsewhere.
CREATE OR REPLACE FUNCTION log.notice_restore() RETURNS void LANGUAGE sql AS $$
    SELECT log.new_incarnation()
    WHERE NOT EXISTS (SELECT FROM (SELECT i.origin FROM log.incarnations i ORDER BY i.number DESC LIMIT 1) AS last
                      WHERE coalesce(last.origin, log.origin()) = log.origin())
$$;

-- Nothing that was written is changed or removed, by anybody, without first switching this off by name.
CREATE OR REPLACE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'log.% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE OR REPLACE TRIGGER commands_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log.commands
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- append.sql creates log.append anew; one of an earlier version may have other arguments and would stay beside it.
DO $$
DECLARE
    earlier regprocedure;
BEGIN
    FOR earlier IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'log'::regnamespace AND p.proname = 'append' LOOP
        EXECUTE format('DROP FUNCTION %s', earlier);
    END LOOP;
END $$;
