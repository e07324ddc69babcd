-- What each process was found to be when it was last advanced: a cache beside the log, which re-planning rebuilds (design.md 4).

CREATE TABLE IF NOT EXISTS process_state (
    process        text        NOT NULL PRIMARY KEY,            -- the stream and workflow id
    kind           text        NOT NULL,
    position       bigint      NOT NULL,                        -- how far the log was read
    wake_at        timestamptz,                                 -- when the plan wants to look again; NULL: on news only
    done           boolean     NOT NULL DEFAULT false,
    stuck          text        NOT NULL DEFAULT '',             -- a code, '' where it is not
    waiting_for    text        NOT NULL DEFAULT '',
    phase          text        NOT NULL DEFAULT '',
    turn           integer,                                     -- attempt n ...
    turns_max      integer,                                     -- ... of m
    effects        text[]      NOT NULL DEFAULT '{}',           -- requests without outcome
    member         text        NOT NULL DEFAULT '',
    plan           text        NOT NULL DEFAULT '',
    last_error     text        NOT NULL DEFAULT '',             -- a code
    failing_since  timestamptz,
    attempts       integer     NOT NULL DEFAULT 0,              -- failed ones since the last success
    began_at       timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,                        -- by the clock that planned
    stored_at      timestamptz NOT NULL DEFAULT clock_timestamp(), -- by the database's: shows progress after a nudge
    code           text        NOT NULL DEFAULT ''              -- the build that planned
);
CREATE INDEX IF NOT EXISTS process_state_wake ON process_state (wake_at) WHERE NOT done;

CREATE TABLE IF NOT EXISTS process_obligation (
    process    text        NOT NULL,
    key        text        NOT NULL,
    kind       text        NOT NULL,
    rule       text        NOT NULL,
    opens      timestamptz NOT NULL,
    due        timestamptz NOT NULL,
    closes     timestamptz NOT NULL,
    act_by     timestamptz NOT NULL,
    state      text        NOT NULL,
    owed_by    text        NOT NULL,
    subject    text        NOT NULL,
    governing  boolean     NOT NULL,
    suspended  boolean     NOT NULL,
    policy     text        NOT NULL,
    facts      text[]      NOT NULL,
    reason     text        NOT NULL,
    how        text        NOT NULL,
    met_at     timestamptz,
    member     text        NOT NULL,
    plan       text        NOT NULL,
    position   bigint      NOT NULL,
    PRIMARY KEY (process, key)
);
CREATE INDEX IF NOT EXISTS process_obligation_due ON process_obligation (state, due);
CREATE INDEX IF NOT EXISTS process_obligation_owed_by ON process_obligation (owed_by, state, due);
CREATE INDEX IF NOT EXISTS process_obligation_act_by ON process_obligation (act_by, process, key);
CREATE INDEX IF NOT EXISTS process_obligation_member ON process_obligation (member);
