"""One visit to a hospital or facility, kept as the statements that were made about it."""
