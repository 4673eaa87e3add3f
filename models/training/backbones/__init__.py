"""Networks from crops to embeddings, one family per file."""
