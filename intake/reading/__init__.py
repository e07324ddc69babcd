"""Bytes to what they say. Nothing here looks anything up and nothing decides."""
