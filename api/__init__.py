"""The HTTP face: commands in, queries out."""
