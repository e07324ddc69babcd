"""The event log: what happened and what was decided, appended once, never changed (design.md 5).

Public doors: `gateway.Gateway` (the only writer), `log.Log` (every reader), `wake.Poller` (news), `database.create` (set-up).
"""
