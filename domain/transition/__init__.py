"""What the programme owes a member after each stay of an episode: the transitional-care checklist."""
