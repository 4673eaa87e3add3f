"""What the commands share."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a command adds its parser. It sets `run`, called with the parsed command line and the
settings; what it returns is the exit status, None for 0."""
