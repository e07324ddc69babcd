"""The other ways in: whoever refers a person, and strangers whom somebody ought to refer (domain.md 2.12)."""
