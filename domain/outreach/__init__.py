"""The campaign to reach a member whom a plan assigned: deadline, ladder of attempts, and what becomes of it."""
