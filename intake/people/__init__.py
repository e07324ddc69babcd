"""Whose message it is: numbers, matches with their evidence, and what waits for a person about it."""
