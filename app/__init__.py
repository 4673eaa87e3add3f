"""Rollcall: enrol people from photos, verify one against one, identify one among many."""

__version__ = "0.1.0"
