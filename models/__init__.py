"""Offline tools that make packs. Nothing in ``app`` imports this package."""
