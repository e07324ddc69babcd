"""The ground that the system stands on: a PostgreSQL and a Temporal server, found or started on this machine.

Nothing here knows what the system does. Each server is looked for in a fixed order (design.md 7); one that we start dies with us,
listens on the loopback only and keeps its files in a folder that `throughline doctor` names.
"""
