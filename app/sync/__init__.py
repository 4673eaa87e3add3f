"""Keeps every collection's index equal to PostgreSQL: load, follow, answer for a revision.

PostgreSQL is the truth and the index a function of it. Each process follows every collection:
it applies changes in order of revision, one whole change at a time. A notification wakes it; a
poll covers those that are lost. Whatever does not fit together (a gap, another digest, another
model) is not repaired but loaded afresh.
"""
