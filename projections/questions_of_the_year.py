"""The SQL of the questions about the year after enrolment, in the form that `questions` describes."""

from __future__ import annotations

CONTACT_RULE = "followup.contact"
"""How the rule of a contact's due begins."""

LAST_CONTACT = """(SELECT c.occurred_at, c.how FROM read.contacts c
    WHERE c.member = e.member AND c.two_way AND c.standing = 'counts' AND c.occurred_at <= %s
    ORDER BY c.occurred_at DESC LIMIT 1)"""

FOLLOW_UPS = f"""SELECT 'followup-' || substr(episode, 9), episode, member, '', plan, status, lead, '', enrolled_at, steps,
    tier, found, overridden, override_reason, plan_tier, agreed_every_days, last_contact_at, last_contact_how,
    next_contact_due_at, open, overdue, missed, authorised_until, proposed, confirmed, conflicts_open, provider_change_since,
    held_at, held_because
FROM (SELECT e.key AS episode, e.member, e.plan, e.status, coalesce(e.lead, '') AS lead, e.received_at, e.enrolled_at,
        coalesce((SELECT array_agg(s.step) FROM jsonb_to_recordset(n.steps) AS s (step text)), '{{}}') AS steps,
        coalesce(t.tier, '') AS tier, coalesce(t.found, '') AS found, coalesce(t.overridden, false) AS overridden,
        coalesce(t.override_reason, '') AS override_reason, coalesce(t.plan_tier, e.plan_tier) AS plan_tier,
        coalesce(f.agreed_every_days, 0) AS agreed_every_days, l.occurred_at AS last_contact_at, coalesce(l.how,
        '') AS last_contact_how, w.next_contact_due_at, w.open, w.overdue, w.missed, a.authorised_until, p.proposed, p.confirmed,
        coalesce(n.conflicts_open, 0) AS conflicts_open, n.provider_change_since, e.held_at, e.held_because,
        coalesce(w.next_contact_due_at, '9999-01-01Z'::timestamptz) AS sorted_at
    FROM read.episodes e
    LEFT JOIN read.enrolments n ON n.key = e.key
    LEFT JOIN read.tiers t ON t.key = e.key
    LEFT JOIN read.follow_ups f ON f.key = e.key
    LEFT JOIN read.authorisations a ON a.key = e.key
    LEFT JOIN LATERAL {LAST_CONTACT} AS l ON true
    CROSS JOIN LATERAL (SELECT
            array_agg(p.population ORDER BY p.population) FILTER (WHERE p.state = 'proposed') AS proposed,
            array_agg(p.population ORDER BY p.population) FILTER (WHERE p.state = 'confirmed') AS confirmed
        FROM read.populations p WHERE p.episode = e.key) AS p
    CROSS JOIN LATERAL (SELECT
            min(o.due) FILTER (WHERE o.state = 'open' AND NOT o.suspended AND starts_with(o.rule, '{CONTACT_RULE}'))
                AS next_contact_due_at,
            count(*) FILTER (WHERE o.state IN ('open', 'infeasible') AND NOT o.suspended AND o.opens <= asked) AS open,
            count(*) FILTER (WHERE o.state IN ('open', 'infeasible') AND NOT o.suspended AND o.due <= asked) AS overdue,
            count(*) FILTER (WHERE o.state = 'missed' AND o.closes > asked) AS missed
        FROM process_obligation o CROSS JOIN (SELECT %s::timestamptz AS asked) AS q
        WHERE o.process = 'followup-' || substr(e.key, 9) AND o.governing) AS w) AS q"""

POPULATIONS = """SELECT p.episode, p.population, p.state, p.since, p.by, '', p.grounds, p.policy, p.proposed_at, p.reason,
    coalesce(e.member, ''), '', coalesce(e.plan, ''), coalesce(e.lead, '')
FROM read.populations p LEFT JOIN read.episodes e ON e.key = p.episode"""

CONTACTS = """SELECT c.key, c.stream, c.episode, coalesce(e.plan, ''), c.member, '', c.kind, c.occurred_at, c.recorded_at,
    extract(epoch FROM c.recorded_at - c.occurred_at)::float8, c.how, c.spoken_to, c.outcome, c.minutes, c.two_way, c.by, '',
    c.standing
FROM read.contacts c LEFT JOIN read.episodes e ON e.key = c.episode"""
