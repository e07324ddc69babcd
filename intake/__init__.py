"""The front door: bytes from hospitals and plans become commands. Nothing here decides about care (design.md 6, messages.md)."""
