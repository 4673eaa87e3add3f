"""What reaches a terminal: nothing that a name could do to it."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands import showing
from app.commands.showing import cut, paint, plain, print_table, width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_no_name_moves_the_cursor_or_turns_the_line(name: str) -> None:
    assert plain(name).isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2J\x07Eve", "\\x1b[2J\\x07Eve"),
        ("a\nb", "a\\x0ab"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("Zoë 山田", "Zoë 山田"),
        (None, "-"),
        (True, "yes"),
        ({"team": "STS-93"}, '{"team": "STS-93"}'),
    ],
)
def test_values_are_shown_as_text_on_one_line(name: object, shown: str) -> None:
    assert plain(name) == shown


def test_columns_stand_below_each_other_whatever_the_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("name", "faces"), [("山田太郎", 2), ("Zoe\u0301", 12), ("Al", 100)])
    lines = capsys.readouterr().out.splitlines()
    assert {width(line) for line in lines} == {width("山田太郎") + 2 + len("faces")}


@given(st.text(), st.integers(2, 60))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    assert width(cut(plain(text), columns)) <= columns


def test_colour_is_for_people_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("yes", "green", out=Terminal()) == "\x1b[32myes\x1b[0m"
    assert paint("yes", "green", out=io.StringIO()) == "yes"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("yes", "green", out=Terminal()) == "yes"


def test_json_is_ascii_so_that_no_name_is_more_than_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    showing.print_json({"name": "\u202e\x1b山"})
    assert capsys.readouterr().out == '{"name": "\\u202e\\u001b\\u5c71"}\n'
