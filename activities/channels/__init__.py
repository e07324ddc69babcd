"""How messages leave the house: one small sender per channel, and what comes back by the signed webhook."""
