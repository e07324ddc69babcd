"""The pure core: what the programme's rules are. Standard library only; no clock, no I/O, no randomness."""
