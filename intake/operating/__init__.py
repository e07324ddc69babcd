"""What operations staff do with messages: see what is left for them, take up again, set aside (messages.md 5, dead letter)."""
