"""Sockets, commits and answers: nothing is acknowledged that is not stored."""
