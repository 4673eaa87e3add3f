"""What a person reads, a program can read too."""

from pathlib import Path

from app.__main__ import parser
from app.commands.parsing import leaves
from tests.commands.typed import typed
from tests.service import SECRET

# They print a picture, a script, what goes into a file as JSON already, or nothing to be read.
WITHOUT = {"serve", "faces crop", "packs pull", "completion", "audit export"}


def test_every_command_that_tells_something_tells_it_as_json() -> None:
    without = {
        " ".join(words)
        for words, command in leaves(parser())
        if "--json" not in {option for each in command._actions for option in each.option_strings}
    }
    assert without == WITHOUT


def test_commands_on_the_database_tell_what_they_did_as_json(
    database_url: str, tmp_path: Path
) -> None:
    settings = {
        "ROLLCALL_DATABASE_URL": database_url,
        "ROLLCALL_SECRET": SECRET,
        "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
    }
    assert typed("migrate", "--json", **settings).json == {"schema": "newest"}
    status = typed("secrets", "status", "--json", **settings).json
    assert set(status) == {"secrets_given", "keys", "plain_templates"}
    assert typed("secrets", "rewrap", "--json", **settings).json == {"keys": len(status["keys"])}
    verified = typed("audit", "verify", "--json", **settings)
    assert verified.returncode == 0
    assert (verified.json["fault"], verified.json["last"]) == (None, 0)
    backed = typed("backup", tmp_path / "backup", "--json", **settings)
    assert backed.returncode == 0, backed.stderr
    assert backed.json["state"]["collections"] == []
    assert backed.json["packs"][0]["name"] == "starter"
