"""`rollcall` says what it can do, and does what it says."""

import re
import shlex
from pathlib import Path

import pytest

from app.__main__ import parser
from app.commands.exits import MEANINGS
from app.commands.parsing import leaves
from tests.commands.typed import typed
from tests.service import ROOT

PAGE = ROOT / "docs" / "cli.md"
COMMANDS = {" ".join(words): command for words, command in leaves(parser())}
EXAMPLE = re.compile(r"^ *(?:if |[A-Z_]+=\S+ )*(rollcall .*?)(?:  +#.*)?$", re.MULTILINE)


def parsed(line: str) -> str:
    """The command that a line of a shell asks for, as the parser understands it."""
    words = []
    for word in shlex.split(line, comments=True)[1:]:
        if word in ("&&", "||", "|", ">"):
            break
        words.append(word.rstrip(";"))
        if word.endswith(";"):
            break
    parser().parse_args(words)
    return " ".join(each for each in words[:2] if not each.startswith("-"))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does_with_an_example_that_can_be_typed(name: str) -> None:
    text = COMMANDS[name].format_help()
    assert text.startswith(f"usage: rollcall {name} ")
    examples = EXAMPLE.findall(text.partition("example:\n")[2])
    assert examples, f"{name} has no example"
    for line in examples:
        assert parsed(line).startswith(name.split(maxsplit=1)[0])
    assert any(name in line for line in examples)


def test_every_option_says_what_it_is_for_unless_its_name_does() -> None:
    silent = {
        f"{name} {action.option_strings[0]}"
        for name, command in COMMANDS.items()
        for action in command._actions
        if action.option_strings and not action.help and action.metavar is None
    }
    assert not silent


def test_the_page_lists_the_commands_that_there_are_and_no_others() -> None:
    table = PAGE.read_text().partition("| command |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `([a-z -]+)` \|", table, re.MULTILINE)
    assert set(listed) == set(COMMANDS)
    assert len(listed) == len(COMMANDS)


def test_every_line_of_the_page_that_calls_rollcall_can_be_typed() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in EXAMPLE.findall(block.replace("\\\n", " "))]
    assert len(lines) > 10
    for line in lines:
        parsed(line)


def test_the_page_and_the_help_say_the_same_of_exit_statuses() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {int(status): meaning for status, meaning in rows} == MEANINGS
    text = parser().format_help()
    for status, meaning in MEANINGS.items():
        assert f"{status:3}  {meaning}" in text


def test_the_command_and_the_module_are_one_program() -> None:
    metadata = (ROOT / "pyproject.toml").read_text()
    assert 'rollcall = "app.__main__:main"' in metadata


def test_a_wrong_command_line_is_status_2_and_a_wrong_setting_names_itself() -> None:
    assert typed("no-such-command").returncode == 2
    assert typed("verify", "a.jpg").returncode == 2
    done = typed("config", ROLLCALL_PROT="8001")
    assert done.returncode == 1
    assert "ROLLCALL_PROT" in done.stderr and "rollcall config" in done.stderr


def test_config_says_each_setting_with_its_source_and_shows_no_secret(tmp_path: Path) -> None:
    secret = "0123456789abcdef" * 4
    done = typed(
        "config",
        "--json",
        ROLLCALL_SECRET=secret,
        ROLLCALL_DATABASE_URL="postgresql://me:hidden@db/faces",
        ROLLCALL_OTHER_SECRETS=f'["{secret}"]',
        ROLLCALL_PORT="8123",
        ROLLCALL_QUALITY__MAX_YAW="10",
    )
    told = {each["name"]: each for each in done.json}
    assert told["ROLLCALL_PORT"]["value"] == 8123
    assert told["ROLLCALL_PORT"]["source"] == "environment"
    assert told["ROLLCALL_QUALITY"]["source"] == "environment"
    assert told["ROLLCALL_HOST"] == {
        "name": "ROLLCALL_HOST",
        "value": "127.0.0.1",
        "source": "default",
        "description": "address to listen on",
    }
    plain = typed("config", ROLLCALL_SECRET=secret, ROLLCALL_OTHER_SECRETS=f'["{secret}"]')
    for text in (done.stdout, plain.stdout):
        assert secret not in text and "hidden" not in text


def test_packs_are_listed_and_shown_as_by_their_own_module() -> None:
    listed = typed("packs", "list", "--json").json
    starter = next(each for each in listed if each["pack"] == "starter")
    shown = typed("packs", "show", "starter", "--json").json
    assert shown == starter
    assert starter["model"] in typed("packs", "list").stdout
