"""Writes what the clients take from the service: the OpenAPI document and the classes of errors.

    python -m clients.generate

Tests fail where the files are not what this would write.
"""

import json
import re
import textwrap
from pathlib import Path
from typing import Final

from app.main import create_app
from app.settings import Settings

ROOT: Final = Path(__file__).parent.parent
OPENAPI: Final = ROOT / "clients" / "openapi.json"
CODES: Final = ROOT / "clients" / "python" / "rollcall_client" / "codes.py"
ERRORS: Final = ROOT / "docs" / "errors.md"

_FAMILIES: Final = {
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "ServerFault",
    503: "Unavailable",
}
_ROW: Final = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<status>\d+) \| (?P<meaning>.+?) \|", re.M)
_HEAD: Final = '''\
"""A class for each stable code of docs/errors.md. Written by `make openapi`; do not edit."""

from collections.abc import Mapping
from typing import Final

from rollcall_client.errors import (
{imports}
)
'''


def openapi() -> str:
    """The document of the application with the settings that nobody changed, as sorted JSON."""
    # Constructed, since validation would read this process's environment.
    document = create_app(Settings.model_construct()).openapi()
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def codes() -> str:
    """The module of errors that docs/errors.md describes; those that no request meets are left."""
    classes, table = [], []
    for row in _ROW.finditer(ERRORS.read_text()):
        code, family = row["code"], _FAMILIES.get(int(row["status"]), "BadRequest")
        name = code.title().replace("_", "")
        table.append(f'    "{code}": {name},')
        if name not in _FAMILIES.values():
            body = f'{_docstring(row["meaning"])}\n\n    code = "{code}"\n'
            classes.append(f"\n\nclass {name}({family}):\n{body}")
    families = sorted({*_FAMILIES.values(), "BadRequest", "RollcallError"})
    head = _HEAD.format(imports="\n".join(f"    {family}," for family in families))
    return "".join(
        (
            head,
            *classes,
            "\n\nCLASSES: Final[Mapping[str, type[RollcallError]]] = {\n",
            "\n".join(table),
            "\n}\n",
        )
    )


def _docstring(text: str) -> str:
    lines = textwrap.wrap(text, 97, initial_indent='    """', subsequent_indent="    ")
    return lines[0] + '"""' if len(lines) == 1 else "\n".join([*lines, '    """'])


def main() -> None:
    CODES.write_text(codes())
    OPENAPI.write_text(openapi())


if __name__ == "__main__":
    main()
