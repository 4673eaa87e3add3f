"""Doors for callers of other services, each in its own protocol: off until a setting opens one.

A door translates and nothing else: keys, scopes, limits, audit and use cases are those of the
house.
"""
