"""From stored messages to the log, and once more where a person asks for it."""
