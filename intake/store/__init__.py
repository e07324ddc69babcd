"""Every message as it came, sealed, with the state in which it stands (messages.md 5)."""
