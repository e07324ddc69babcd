"""What goes back to hospitals beside acknowledgements, and what may be told to whom."""
