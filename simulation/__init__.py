"""The programme on a virtual clock: an in-memory log, and the outside world that sends to it."""
