"""Read models, folded from the log: every one can be dropped and rebuilt.

A read model imports facts only, writes its own table only, and decides nothing (design.md 5). `runner` carries them forward,
exactly once; `queries` is what the command line and the API ask.
"""
