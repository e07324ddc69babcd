-- The router's memory: how far it is, which process a fact may concern, what could not be signalled. Rebuilt from the log at will.

CREATE TABLE IF NOT EXISTS router_tracking (
    name         text        NOT NULL PRIMARY KEY,
    position     bigint      NOT NULL,
    incarnation  uuid        NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS router_index (
    tag      text NOT NULL,
    process  text NOT NULL,
    PRIMARY KEY (tag, process)
);

CREATE TABLE IF NOT EXISTS router_process (
    process     text        NOT NULL PRIMARY KEY,
    kind        text        NOT NULL,
    open        boolean     NOT NULL,                          -- its own last word is not that it ended
    position    bigint      NOT NULL,                          -- the latest news for it
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS router_parked (
    process    text        NOT NULL PRIMARY KEY,
    position   bigint      NOT NULL,
    code       text        NOT NULL,
    attempts   integer     NOT NULL DEFAULT 1,
    first_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at    timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS router_sweep (
    process   text   NOT NULL PRIMARY KEY,
    position  bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS process_nudge (
    process    text        NOT NULL PRIMARY KEY,
    nudged_at  timestamptz NOT NULL,
    count      integer     NOT NULL DEFAULT 1
);

CREATE TABLE IF NOT EXISTS reconcile_run (
    at         timestamptz NOT NULL PRIMARY KEY DEFAULT clock_timestamp(),
    deep       boolean     NOT NULL,
    overdue    integer     NOT NULL,
    behind     integer     NOT NULL,
    missing    integer,                                         -- NULL: visibility was not asked
    orphaned   integer,
    nudged     integer     NOT NULL
);

CREATE TABLE IF NOT EXISTS rebuild_run (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incarnation  uuid        NOT NULL,
    namespace    text        NOT NULL,
    position     bigint      NOT NULL,                          -- up to which the log was folded; 0 before it was
    total        integer     NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz
);
ALTER TABLE rebuild_run ADD COLUMN IF NOT EXISTS started integer NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS rebuild_item (
    run      bigint      NOT NULL REFERENCES rebuild_run (id),
    process  text        NOT NULL,
    wake_at  timestamptz,                                       -- -infinity: at once
    PRIMARY KEY (run, process)
);
ALTER TABLE rebuild_item ADD COLUMN IF NOT EXISTS started boolean NOT NULL DEFAULT false;
