"""Targets for atheris, one a format. `make fuzz` runs them; pytest does not."""
