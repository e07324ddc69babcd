"""The durable shell around every process: waits and retries. No rule may live here."""
