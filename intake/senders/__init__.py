"""Who may send, what their messages mean, and whether they do send."""
