"""The SQL of the queries. Each base has its FROM at the beginning of a line; `asking` adds conditions,
order and limit behind it."""

from __future__ import annotations

from eventlog.log import ROW_COLUMNS

EPISODE_OF = "'episode-' || substr({0}, strpos({0}, '-') + 1)"

WORK = f"""SELECT o.process, o.key, o.kind, o.rule, o.state, o.opens, o.due, o.closes, o.act_by, o.owed_by, o.member,
    coalesce(e.key, ''), o.plan, coalesce(e.lead, ''), o.subject, o.governing, o.suspended, o.policy, o.facts, o.reason, o.how,
    o.met_at
FROM process_obligation o JOIN process_state s ON s.process = o.process
LEFT JOIN read.episodes e ON e.key = {EPISODE_OF.format("o.process")}"""

VERDICT = """CASE WHEN d.missed_at IS NOT NULL THEN CASE WHEN o.state = 'met_late' THEN 'met_late' ELSE 'missed' END
    WHEN d.withdrawn_at IS NOT NULL THEN 'withdrawn'
    WHEN o.suspended AND o.state = 'open' THEN 'suspended'
    WHEN o.state IS NOT NULL THEN o.state
    WHEN d.due_at > %s THEN 'open' ELSE 'not_missed' END"""

DEADLINES = f"""SELECT stream, due_key, kind, rule, verdict, opens_at, due_at, closes_at, policy, governing, late_on_arrival,
    learned_at,
    met_at, missed_at, miss_recorded_at, miss_withdrawn_at, miss_withdrawn_because, withdrawn_at, withdrawn_because, generation,
    earlier, variants, cause, subject, member, episode, plan, lead, owed_by
FROM (SELECT d.*, split_part(d.stream, '-', 1) AS kind, {VERDICT} AS verdict, o.met_at, coalesce(e.member, '') AS member,
        coalesce(e.plan, '') AS plan, coalesce(e.lead, '') AS lead, coalesce(o.owed_by, '') AS owed_by
    FROM read.deadlines d
    LEFT JOIN process_obligation o ON o.process = d.stream AND o.key = d.due_key
    LEFT JOIN read.episodes e ON e.key = d.episode) AS q"""

TRANSITIONS = f"""SELECT process, stay, status, member, '', episode, plan, lead, '', stay_class, facility, admitted_at,
    admitted_on,
    discharged_at, discharged_on, disposition, disposition_class, doubtful, items_open, items_met, items_missed, items_withdrawn,
    next_due_at, next_due_rule, opened_at, ended_at, ended_because
FROM (SELECT t.key, t.process, t.stay, t.member, t.episode, t.plan, coalesce(e.lead, '') AS lead, t.opened_at, c.ended_at,
        coalesce(c.ended_because, '') AS ended_because, coalesce(y.stay_class, '') AS stay_class, coalesce(y.facility,
        '') AS facility,
        y.admitted_at, y.admitted_on, y.discharged_at, y.discharged_on, coalesce(y.disposition, '') AS disposition,
        coalesce(y.disposition_class, '') AS disposition_class, coalesce(y.doubtful, false) AS doubtful,
        CASE WHEN y.status = 'cancelled' THEN 'cancelled' WHEN c.ended_at IS NOT NULL THEN 'ended'
            ELSE coalesce(y.status, 'admitted') END AS status,
        v.items_open, v.items_met, v.items_missed, v.items_withdrawn, v.next_due_at, coalesce(v.next_due_rule,
        '') AS next_due_rule,
        v.overdue
    FROM read.transition_stays t
    LEFT JOIN read.transition_care c ON c.key = t.process
    LEFT JOIN read.stays y ON y.key = t.stay
    LEFT JOIN read.episodes e ON e.key = t.episode
    CROSS JOIN LATERAL (SELECT
            count(*) FILTER (WHERE item AND verdict IN ('open', 'suspended', 'infeasible')) AS items_open,
            count(*) FILTER (WHERE item AND verdict IN ('met', 'met_late', 'not_missed')) AS items_met,
            count(*) FILTER (WHERE item AND verdict = 'missed') AS items_missed,
            count(*) FILTER (WHERE item AND verdict = 'withdrawn') AS items_withdrawn,
            count(*) FILTER (WHERE verdict = 'missed' OR (verdict IN ('open', 'infeasible') AND due_at <= now)) AS overdue,
            min(due_at) FILTER (WHERE verdict IN ('open', 'infeasible')) AS next_due_at,
            (array_agg(rule ORDER BY due_at) FILTER (WHERE verdict IN ('open', 'infeasible')))[1] AS next_due_rule
        FROM (SELECT d.due_at, d.rule, split_part(d.rule, '.', 2) <> ALL(%s) AS item, {VERDICT} AS verdict, %s::timestamptz AS now
            FROM read.deadlines d
            LEFT JOIN process_obligation o ON o.process = d.stream AND o.key = d.due_key
            WHERE d.stream = t.process AND d.subject = t.stay AND d.governing) AS w) AS v) AS q"""

ENTRY = """t.key, t.position, t.stream, t.kind, t.version, t.name, t.sentence, t.occurred_at, t.occurred_on, t.said_at,
    t.recorded_at, t.actor, t.rule, t.policy, t.due_at, t.message_id, t.causation, t.sealed"""
TIMELINE = f"SELECT {ENTRY}\nFROM read.belonging b JOIN read.timeline t ON t.stream = b.stream"
STREAM_TIMELINE = f"SELECT {ENTRY}\nFROM read.timeline t"

MEMBERS = """SELECT m.key, m.registered_at, m.language, m.timezone, m.episode, coalesce(e.plan, ''), coalesce(e.status, ''),
    coalesce(e.lead, ''), m.opted_out, m.consents, m.points, m.coverage_lost_at, m.died_at, m.erased_at, coalesce(t.tier, ''),
    c.last_contact_at
FROM read.members m LEFT JOIN read.episodes e ON e.key = m.episode LEFT JOIN read.member_lookup l ON l.key = m.key
LEFT JOIN read.tiers t ON t.key = m.episode
LEFT JOIN LATERAL (SELECT max(r.occurred_at) AS last_contact_at FROM read.contacts r
    WHERE r.member = m.key AND r.two_way AND r.standing = 'counts') AS c ON true"""

EPISODES = """SELECT e.key, e.member, '', e.plan, e.status, e.received_at, e.received_last_at, e.effective_on, e.referral_source,
    e.plan_tier, e.previous, coalesce(e.lead, ''), '', e.lead_since, e.enrolled_at, e.declined_at, e.deferred_until, e.held_at,
    e.held_because, e.withdrawn_at, e.closed_at, e.closed_because, e.policy_reapplied
FROM read.episodes e"""

CASELOAD = f"""WITH cases AS (
    SELECT coalesce(e.lead, '') AS staff, count(*) FILTER (WHERE e.status = 'assigned') AS assigned,
        count(*) FILTER (WHERE e.status = 'enrolled') AS enrolled, count(*) FILTER (WHERE e.status = 'held') AS held,
        count(*) FILTER (WHERE e.status IN ('assigned', 'enrolled') AND EXISTS (
            SELECT FROM read.transition_stays t JOIN read.transition_care c ON c.key = t.process
            WHERE t.episode = e.key AND c.ended_at IS NULL)) AS in_transition
    FROM read.episodes e WHERE e.status IN ('assigned', 'enrolled', 'held') AND (%s::text IS NULL OR e.plan = %s) GROUP BY 1),
owed AS (
    SELECT coalesce(e.lead, '') AS staff, count(*) AS owed, count(*) FILTER (WHERE o.due <= %s) AS overdue
    FROM process_obligation o LEFT JOIN read.episodes e ON e.key = {EPISODE_OF.format("o.process")}
    WHERE o.state IN ('open', 'infeasible') AND NOT o.suspended AND o.governing AND (%s::text IS NULL OR o.plan = %s) GROUP BY 1)
SELECT staff, '', coalesce(assigned, 0), coalesce(enrolled, 0), coalesce(held, 0), coalesce(in_transition, 0), coalesce(owed, 0),
    coalesce(overdue, 0) FROM cases FULL JOIN owed USING (staff) ORDER BY staff"""

STAFF = """SELECT f.key, f.joined_at, f.last_day, f.roles, f.licences, f.absences, f.languages, f.supervisor, f.shares,
    f.trainings
FROM read.staff f"""

POLICIES = """SELECT p.plan, p.version, p.effective_on, p.sha256, p.adopted_at, p.adopted_by, p.event_id
FROM read.policies p"""

PROCESSES = """SELECT s.process, s.kind, s.phase, s.turn, s.turns_max, s.position, s.wake_at, s.waiting_for, s.done, s.stuck,
    s.last_error,
    s.failing_since, s.attempts, s.effects, s.member, s.plan, s.began_at, s.updated_at, s.code,
    extract(epoch FROM %s - s.began_at)::float8,
    CASE WHEN s.done OR s.wake_at IS NULL THEN 0 ELSE greatest(0, extract(epoch FROM %s - s.wake_at)) END::float8
FROM process_state s"""

MESSAGES = """SELECT g.stream, g.request_key, g.kind, g.template, g.recipient, g.state, g.asked_at, g.expires_at, g.begun_at,
    g.sent_at,
    g.changed_at, g.acknowledged_at, g.code, g.turn, g.language, g.point, g.about, g.policy, g.episode, coalesce(e.member, '')
FROM read.messages g LEFT JOIN read.episodes e ON e.key = g.episode"""

INBOX = """SELECT i.inbox_id::text, i.source_id, i.transport, i.kind, i.control_id, i.status, i.reason, i.flags, i.error,
    i.attempts,
    i.received_at, i.settled_at, i.next_attempt_at, i.repeats, i.stay, i.member, i.part_of::text, i.line,
    greatest(0, extract(epoch FROM %s - i.received_at))::float8
FROM intake.inbox i"""

INBOX_COUNTS = "SELECT status, count(*), min(received_at) FROM intake.inbox GROUP BY status"

NAMING = f"SELECT {ROW_COLUMNS} FROM log.events WHERE stream = ANY(%b) AND name = ANY(%b) ORDER BY stream, version"
