"""Figures by the field's protocols: arrays of embeddings in, rates with counts and intervals out.

A row of NaN stands for a picture in which no face was found: an error, never an exclusion.
"""
