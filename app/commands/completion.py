"""`rollcall completion`: what a shell needs to complete the command line, made from the parser."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.commands.parsing import Commands, add_command, subcommands
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Spot:
    """A command: the words that lead to it, and what may stand behind them.

    words: sub-commands, with what they do. flags: options without a value. options: those with
    one, and the choices of it, none where anything may stand there. choices: of an argument.
    """

    path: tuple[str, ...]
    words: dict[str, str]
    flags: dict[str, str]
    options: dict[str, tuple[str, tuple[str, ...]]]
    choices: tuple[str, ...]


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "completion",
        "print what a shell needs to complete rollcall's command line",
        description="Prints a script. Let your shell read it at its start.",
        example="source <(rollcall completion bash)          # in ~/.bashrc\n"
        "source <(rollcall completion zsh)           # in ~/.zshrc, after compinit\n"
        "rollcall completion fish > ~/.config/fish/completions/rollcall.fish",
    )
    command.add_argument("shell", choices=tuple(_SCRIPTS))
    command.set_defaults(run=_print)


def _print(asked: argparse.Namespace, _: Settings) -> None:
    # Late, since the parser of everything is made of this module too.
    from app.__main__ import parser

    print(_SCRIPTS[asked.shell](list(spots(parser()))), end="")


def spots(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Spot]:
    """Every command below `parser`, itself first."""
    flags: dict[str, str] = {}
    options: dict[str, tuple[str, tuple[str, ...]]] = {}
    choices: tuple[str, ...] = ()
    words: dict[str, str] = {}
    for action in parser._actions:  # argparse has no public way to ask for them
        text = "" if action.help is None else action.help % {**vars(action), "prog": "rollcall"}
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            words = {name: helps.get(name, "") for name in action.choices}
        elif not action.option_strings:
            choices += tuple(map(str, action.choices or ()))
        else:
            offered = tuple(map(str, action.choices or ()))
            for name in action.option_strings:
                if action.nargs == 0:
                    flags[name] = text
                else:
                    options[name] = (text, offered)
    yield Spot(path, words, flags, options, choices)
    for name, branch in subcommands(parser).items():
        yield from spots(branch, (*path, name))


def _bash(every: list[Spot]) -> str:
    """A command's words and options, the choices of an option, and files for everything else."""
    offers, values = [], []
    for spot in every:
        key = " ".join(spot.path)
        names, dashed = [*spot.words, *spot.choices], [*spot.flags, *spot.options]
        offers.append(
            f"        {_quoted(key)}) names={_quoted(' '.join(names))} "
            f"dashed={_quoted(' '.join(dashed))} ;;"
        )
        values += [
            f"        {_quoted(f'{key} {name}')}) names={_quoted(' '.join(choices))} ;;"
            for name, (_, choices) in spot.options.items()
        ]
    paths = "|".join(_quoted(" ".join(spot.path)) for spot in every if spot.path)
    return _BASH.format(paths=paths, offers="\n".join(offers), values="\n".join(values))


def _zsh(every: list[Spot]) -> str:
    """zsh reads what bash does, and shows it its own way."""
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(every)


def _fish(every: list[Spot]) -> str:
    lines = ["complete -c rollcall -f", _FISH_AT]
    for spot in every:
        at = f"complete -c rollcall -n {_quoted(f'__rollcall_at {_joined(spot.path)}'.strip())}"
        lines += [f"{at} -a {name} -d {_quoted(_first(text))}" for name, text in spot.words.items()]
        lines += [f"{at} -a {name}" for name in spot.choices]
        lines += [f"{at} {_dashed(name)} -d {_quoted(_first(t))}" for name, t in spot.flags.items()]
        for name, (text, choices) in spot.options.items():
            value = f"-x -a {_quoted(' '.join(choices))}" if choices else "-r -F"
            lines.append(f"{at} {_dashed(name)} {value} -d {_quoted(_first(text))}")
        if not spot.words and not spot.choices:
            lines.append(f"{at} -F")
    return "\n".join(lines) + "\n"


def _dashed(name: str) -> str:
    return f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"


def _joined(path: tuple[str, ...]) -> str:
    return " ".join(path)


def _first(text: str) -> str:
    """As much of a help text as a menu has room for."""
    return text.partition(";")[0].partition(" (")[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_BASH: Final = """\
# Completion of rollcall, made by `rollcall completion`.
_rollcall() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local at='' each names='' dashed='' IFS=$' \\t\\n'
    for each in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case "${{at:+$at }}$each" in
        {paths}) at="${{at:+$at }}$each" ;;
        esac
    done
    case "$at $before" in
{values}
    *)
        case "$at" in
{offers}
        esac
        ;;
    esac
    [[ $word != -* ]] || names=$dashed
    COMPREPLY=($(compgen -W "$names" -- "$word"))
    if [[ -z $names && $word != -* ]]; then
        IFS=$'\\n'
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -F _rollcall rollcall
"""

_FISH_AT: Final = """\
# Whether the words that are no options are these, so far as they are commands.
function __rollcall_at
    set -l said (commandline -opc)[2..]
    set -l words
    for each in $said
        string match -q -- '-*' $each; or set -a words $each
    end
    set -l count (count $argv)
    test (count $words) -ge $count; or return 1
    test $count -eq 0; and test (count $words) -eq 0; and return 0
    test $count -gt 0; and test "$words[1..$count]" = "$argv"
end"""

_SCRIPTS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
