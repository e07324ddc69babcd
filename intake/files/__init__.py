"""What health plans send: members and authorisations, row by row, and what goes back to the plan."""
