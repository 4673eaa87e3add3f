"""Losses over embeddings and labels, one per file."""
