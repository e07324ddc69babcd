"""Read models, folded from the log: every one can be dropped and rebuilt."""
