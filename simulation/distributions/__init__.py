"""Programmes as data: one file is one invented programme, with the unit and the source of every number."""
