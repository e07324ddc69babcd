-- The front door's tables. Run through intake.store.inbox.create as the application's role; may be run any number of times.
-- No column holds a name, a birth date or a CIN in the clear: the message itself is sealed, look-ups are keyed HMACs.

CREATE SCHEMA IF NOT EXISTS intake;

CREATE TABLE IF NOT EXISTS intake.inbox (
    inbox_id        uuid        NOT NULL PRIMARY KEY,
    source_id       text        NOT NULL,
    transport       text        NOT NULL,
    peer            text        NOT NULL DEFAULT '',
    control_id      text        NOT NULL,
    kind            text        NOT NULL DEFAULT '',
    sha256          bytea       NOT NULL,
    semantic_hash   bytea,
    sealed          bytea       NOT NULL,
    key_id          text        NOT NULL,
    received_at     timestamptz NOT NULL,
    charset         text        NOT NULL DEFAULT '',
    status          text        NOT NULL CHECK (status IN
        ('received', 'applied', 'duplicate', 'unmatched', 'waiting', 'ignored', 'dead')),
    reason          text        NOT NULL DEFAULT '',
    flags           text[]      NOT NULL DEFAULT '{}',
    error           text        NOT NULL DEFAULT '',
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    settled_at      timestamptz,
    parser          text        NOT NULL DEFAULT '',
    trace           text        NOT NULL DEFAULT '',
    repeats         integer     NOT NULL DEFAULT 0,
    repeated_at     timestamptz,
    statement_key   bytea,
    stay            text,
    member          text,
    evidence        text        NOT NULL DEFAULT '',
    lookup          bytea[]     NOT NULL DEFAULT '{}',
    proposed        text[]      NOT NULL DEFAULT '{}',
    released_by     text        NOT NULL DEFAULT '',
    part_of         uuid        REFERENCES intake.inbox (inbox_id),
    line            integer,
    outcome         jsonb,
    UNIQUE (source_id, control_id, sha256)
);
CREATE INDEX IF NOT EXISTS inbox_due ON intake.inbox (next_attempt_at, inbox_id) WHERE status = 'received';
CREATE INDEX IF NOT EXISTS inbox_open ON intake.inbox (status, inbox_id) WHERE status IN ('unmatched', 'waiting', 'dead');
CREATE INDEX IF NOT EXISTS inbox_lookup ON intake.inbox USING gin (lookup) WHERE status = 'unmatched';
CREATE INDEX IF NOT EXISTS inbox_statement ON intake.inbox (statement_key) WHERE statement_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS inbox_semantic ON intake.inbox (semantic_hash, received_at) WHERE semantic_hash IS NOT NULL;
CREATE INDEX IF NOT EXISTS inbox_stay ON intake.inbox (stay) WHERE stay IS NOT NULL;
CREATE INDEX IF NOT EXISTS inbox_part_of ON intake.inbox (part_of, line) WHERE part_of IS NOT NULL;

-- How each message came to be where it is: a row whenever its status or its reason is set anew. No foreign key, here and below: each
-- row is written together with its message's, messages are never removed, and a check a row cost a sixth of storing and settling.
CREATE TABLE IF NOT EXISTS intake.transitions (
    inbox_id        uuid        NOT NULL,
    number          bigint      GENERATED ALWAYS AS IDENTITY,
    at              timestamptz NOT NULL,
    status          text        NOT NULL,
    reason          text        NOT NULL,
    error           text        NOT NULL,
    by              text        NOT NULL,
    PRIMARY KEY (inbox_id, number)
);

-- The facts that each message caused.
CREATE TABLE IF NOT EXISTS intake.caused (
    inbox_id        uuid        NOT NULL,
    position        bigint      NOT NULL,
    event_id        uuid        NOT NULL,
    stream          text        NOT NULL,
    fact            text        NOT NULL,
    PRIMARY KEY (inbox_id, position)
);

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conname IN ('transitions_inbox_id_fkey', 'caused_inbox_id_fkey')) THEN
        ALTER TABLE intake.transitions DROP CONSTRAINT IF EXISTS transitions_inbox_id_fkey;
        ALTER TABLE intake.caused DROP CONSTRAINT IF EXISTS caused_inbox_id_fkey;
    END IF;
END $$;

-- Indexes over the log, filled from its facts; `catch_up` rebuilds them from position 0.
CREATE TABLE IF NOT EXISTS intake.member_lookup (
    key             bytea       NOT NULL,
    member          text        NOT NULL,
    PRIMARY KEY (key, member)
);
-- Asked first: an ALTER locks out everybody who reads, even where it has nothing to do.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'intake.member_lookup'::regclass AND attname = 'since') THEN
        ALTER TABLE intake.member_lookup ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'name';
        ALTER TABLE intake.member_lookup ADD COLUMN IF NOT EXISTS since timestamptz NOT NULL DEFAULT '-infinity';
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS member_lookup_member ON intake.member_lookup (member);

-- What waits for somebody about who members are, beside messages: contact points that hospitals proposed, members who may be one
-- person, and people of two members.
CREATE TABLE IF NOT EXISTS intake.identity_open (
    kind            text        NOT NULL,
    member          text        NOT NULL,
    subject         text        NOT NULL,
    since           timestamptz NOT NULL,
    PRIMARY KEY (kind, member, subject)
);

CREATE INDEX IF NOT EXISTS identity_open_subject ON intake.identity_open (subject);

CREATE TABLE IF NOT EXISTS intake.stay_member (
    stay            text        NOT NULL PRIMARY KEY,
    member          text        NOT NULL
);

-- Visits that a hospital gave another number: the stay for which their messages count.
CREATE TABLE IF NOT EXISTS intake.stay_continued (
    stay            text        NOT NULL PRIMARY KEY,
    continued_as    text        NOT NULL
);

CREATE TABLE IF NOT EXISTS intake.index_position (
    name            text        NOT NULL PRIMARY KEY,
    position        bigint      NOT NULL,
    incarnation     uuid        NOT NULL
);

-- What each plan's file last said of each member, as a digest: an unchanged row says nothing.
CREATE TABLE IF NOT EXISTS intake.roster (
    plan            text        NOT NULL,
    cin_key         bytea       NOT NULL,
    member          text        NOT NULL,
    row_digest      bytea       NOT NULL,
    listed          boolean     NOT NULL,
    file_id         uuid        NOT NULL,
    PRIMARY KEY (plan, cin_key)
);
CREATE INDEX IF NOT EXISTS roster_member ON intake.roster (member);
-- The contact points that the plan knows of: what it does not have yet is reported to it.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'intake.roster'::regclass AND attname = 'points') THEN
        ALTER TABLE intake.roster ADD COLUMN points text[] NOT NULL DEFAULT '{}';
    END IF;
END $$;

-- Strangers whom somebody looked at and did not refer, by the keyed digest of their numbers: shown again once they come again.
CREATE TABLE IF NOT EXISTS intake.strangers (
    stranger        text        NOT NULL PRIMARY KEY,
    said_at         timestamptz NOT NULL,
    by              text        NOT NULL,
    reason          text        NOT NULL,
    stays           text[]      NOT NULL
);

-- Who asked whether somebody is enrolled, and whether they were told: the access log. It says nothing of whom; what was told of a
-- member stands on their own stream, under the inquiry's id. Written before the answer leaves.
CREATE TABLE IF NOT EXISTS intake.inquiries (
    inquiry_id      uuid        NOT NULL PRIMARY KEY,
    source_id       text        NOT NULL,
    asked_at        timestamptz NOT NULL,
    answer          text        NOT NULL CHECK (answer IN ('unanswered', 'told', 'nothing_to_tell'))
);
CREATE INDEX IF NOT EXISTS inquiries_of_source ON intake.inquiries (source_id, asked_at);

-- What somebody has to look at beside single messages: a feed that fell silent, missed events, a certificate that was refused.
-- One open row a trouble; it ends when the trouble does, or when a person says so.
CREATE TABLE IF NOT EXISTS intake.notices (
    notice_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text        NOT NULL,
    source_id       text        NOT NULL,
    subject         text        NOT NULL,
    since           timestamptz NOT NULL,
    noticed_at      timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    times           integer     NOT NULL DEFAULT 1,
    ended_at        timestamptz,
    ended_by        text        NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS notices_open ON intake.notices (kind, source_id, subject) WHERE ended_at IS NULL;

-- How far each subscription of ours has told its events.
CREATE TABLE IF NOT EXISTS intake.subscriptions (
    source_id       text        NOT NULL,
    subscription    text        NOT NULL,
    topic           text        NOT NULL,
    status          text        NOT NULL,
    events          bigint      NOT NULL,
    heard_at        timestamptz NOT NULL,
    PRIMARY KEY (source_id, subscription)
);

-- Application acknowledgements of enhanced mode that were sent, are tried again, or were not wanted (next_at: none).
CREATE TABLE IF NOT EXISTS intake.application_acks (
    inbox_id        uuid        NOT NULL PRIMARY KEY,
    next_at         timestamptz,
    attempts        integer     NOT NULL,
    outcome         text        NOT NULL
);

-- When each source was last heard of, as far as the watch has looked.
CREATE TABLE IF NOT EXISTS intake.feeds (
    source_id       text        NOT NULL PRIMARY KEY,
    known_since     timestamptz NOT NULL,
    heard_at        timestamptz,
    looked_at       timestamptz NOT NULL
);
