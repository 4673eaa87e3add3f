"""What `python -m app` can do: a module a command, each with `add` (its options) and `run`."""
