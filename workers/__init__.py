"""Composition roots: what starts, wires and stops the system. No rule about a member may live here."""
