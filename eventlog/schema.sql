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
CREATE TABLE IF NOT EXISTS log.incarnations (
    number          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO log.incarnations SELECT WHERE NOT EXISTS (SELECT FROM log.incarnations);

-- Nothing that was written is changed or removed, by anybody, without first switching this off by name.
CREATE OR REPLACE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'log.% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE OR REPLACE TRIGGER commands_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log.commands
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
