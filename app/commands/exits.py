"""How a command ends: the statuses that scripts may build on (docs/cli.md), and the errors."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
"""argparse's own: there is no such command or option."""
PARTLY: Final = 3
NO: Final = 4
UNAVAILABLE: Final = 5
INTERRUPTED: Final = 130

MEANINGS: Final = {
    DONE: "done; for verify, identify and detect: yes",
    FAILED: "refused or failed, said on standard error",
    WRONG: "the command line is wrong",
    PARTLY: "done in part: some photos were refused",
    NO: "the answer is no: not the same person, nobody known, no face",
    UNAVAILABLE: "no service answers, or not now; the same command may do better later",
    INTERRUPTED: "stopped by Ctrl-C",
}


class Failed(Exception):
    """A command came to nothing; its code and detail are what the service said, or our own."""

    status = FAILED

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Misused(Failed):
    """What was typed is no sense, as argparse alone cannot tell."""

    status = WRONG

    def __init__(self, detail: str) -> None:
        super().__init__("usage", detail)


class NotNow(Failed):
    """Nobody answers, or answers that it cannot just now."""

    status = UNAVAILABLE
