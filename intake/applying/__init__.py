"""From stored messages to the log."""
