"""What `rollcall` can do: a module a command, each with `add` (its options) and `run`."""

import sys
from pathlib import Path

# A checkout has its own client beside it, whether it was installed or not.
_CLIENT = Path(__file__).parents[2] / "clients" / "python"
if (_CLIENT / "rollcall_client").is_dir() and str(_CLIENT) not in sys.path:
    sys.path.append(str(_CLIENT))
