"""A member's life as the programme knows it: identity, contact points, coverage, consent, death, and whose stays are theirs."""
