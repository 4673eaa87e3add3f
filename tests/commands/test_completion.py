"""Completion, asked of the shell that it is for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands.typed import typed


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "rollcall.bash"
    path.write_text(typed("completion", "bash").stdout)
    return path


def offered(script: Path, *words: str, folder: Path | None = None) -> list[str]:
    """What bash offers where the last of the words is being typed."""
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rollcall; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-u", "-c", program, "bash", str(script), "rollcall", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


def test_commands_and_their_actions_are_completed(script: Path) -> None:
    assert offered(script, "per") == ["persons"]
    assert set(offered(script, "persons", "")) == {"list", "show", "edit", "merge", "delete"}
    assert offered(script, "persons", "me") == ["merge"]


def test_options_are_completed_of_the_command_that_is_typed(script: Path) -> None:
    assert offered(script, "identify", "a.jpg", "--target") == ["--target-fpir"]
    assert "--collection" not in offered(script, "backup", "--")


def test_the_choices_of_an_option_and_of_an_argument_are_completed(script: Path) -> None:
    assert offered(script, "enroll", "photos", "--face", "") == ["only", "largest"]
    assert offered(script, "keys", "create", "--scope", "ide") == ["identify"]
    assert offered(script, "completion", "") == ["bash", "zsh", "fish"]


def test_files_are_completed_where_no_word_is_known_spaces_and_all(
    script: Path, tmp_path: Path
) -> None:
    (tmp_path / "my photos").mkdir()
    (tmp_path / "more.csv").touch()
    assert set(offered(script, "enroll", "m", folder=tmp_path)) == {"my photos", "more.csv"}
    assert offered(script, "enroll", "x", "--root", "my", folder=tmp_path) == ["my photos"]


def test_zsh_reads_what_bash_does_and_fish_has_every_command() -> None:
    assert typed("completion", "bash").stdout in typed("completion", "zsh").stdout
    fish = typed("completion", "fish").stdout
    for words in ("-a enroll", "-a merge", "-l target-fpir"):
        assert words in fish


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("rollcall per", {"persons"}),
        ("rollcall persons me", {"merge"}),
        ("rollcall identify a.jpg --target", {"--target-fpir"}),
        ("rollcall enroll photos --face ", {"only", "largest"}),
        ("rollcall completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_fish_completes(tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = tmp_path / "rollcall.fish"
    script.write_text(typed("completion", "fish").stdout)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert {each.partition("\t")[0] for each in done.stdout.splitlines()} == wanted


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["per"], {"persons"}),
        (["persons", "me"], {"merge"}),
        (["identify", "a.jpg", "--target"], {"--target-fpir"}),
        (["enroll", "photos", "--face", ""], {"only", "largest"}),
    ],
)
def test_zsh_completes(tmp_path: Path, words: list[str], wanted: set[str]) -> None:
    script = tmp_path / "rollcall.zsh"
    script.write_text(typed("completion", "zsh").stdout)
    # As bashcompinit calls it; what it offers is matched by zsh itself.
    program = (
        "autoload -U compinit; compinit -u -D; source $1; shift; COMP_WORDS=($@); "
        "COMP_CWORD=$(($# - 1)); emulate ksh -c _rollcall; print -rl -- $COMPREPLY"
    )
    done = subprocess.run(
        ["zsh", "-f", "-o", "shwordsplit", "-c", program, "zsh", script, "rollcall", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    offered = {each for each in done.stdout.split() if each.startswith(words[-1])}
    assert offered == wanted, done.stderr
