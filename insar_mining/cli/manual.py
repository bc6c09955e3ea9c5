"""``insar-mining manual``: the manual page of all commands, made from their own help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import typer
from typer.main import get_command as command_of

from insar_mining import __version__
from insar_mining.cli import parameters
from insar_mining.cli.speech import print_json

app = parameters.new_app()

PROGRAM = "insar-mining"
LINE = "Measure how much of a mine was worked in each year, from Sentinel-1 coherence"


@dataclass(frozen=True)
class Entry:
    """Hold what the manual says of a command: its name, text, and pairs of words and help."""

    name: str
    text: str
    parameters: tuple[tuple[str, str], ...]


@app.command()
def manual(as_json: parameters.Json = False) -> None:
    """Print the manual page of all commands.

    To read it: insar-mining manual | man -l -

    To keep it: insar-mining manual > ~/.local/share/man/man1/insar-mining.1
    """
    from insar_mining.cli import WAYS_IN
    from insar_mining.cli import app as everything

    command = command_of(everything)
    entries = list(entries_of(PROGRAM, command, typer.Context(command)))
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    typer.echo(page(entries, WAYS_IN))


def entries_of(name: str, command: Any, context: Any) -> Iterator[Entry]:
    """Yield a command and those below it."""
    records = (one.get_help_record(context) for one in command.params)
    told = tuple((str(words), str(text)) for words, text in filter(None, records))
    yield Entry(name, (command.help or "").replace("\b\n", "").replace("\f", "").strip(), told)
    for inner in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from entries_of(f"{name} {inner}", command.get_command(context, inner), context)


def page(entries: list[Entry], notes: str) -> str:
    """Write the page in the macros of man(7); `notes` ends it, line by line."""
    lines = [f'.TH INSAR-MINING 1 "" "insar_mining {__version__}" "User commands"']
    lines += [".SH NAME", f"{PROGRAM} \\- {_plain(LINE)}", ".SH SYNOPSIS", f".B {_plain(PROGRAM)}", "COMMAND [OPTIONS]"]
    for number, entry in enumerate(entries):
        heading = "DESCRIPTION" if number == 0 else _plain(entry.name)
        lines += [f'.{"SH" if number == 0 else "SS"} "{heading}"', *_paragraphs(entry.text)]
        for words, text in entry.parameters:
            lines += [".TP", f".B {_plain(words)}", _plain(" ".join(text.split())) or "\\&"]
        if number == 0:
            lines.append(".SH COMMANDS")
    lines += [".SH NOTES", ".nf", *map(_plain, notes.replace("\b", "").strip().splitlines()), ".fi"]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    found = []
    for paragraph in text.split("\n\n"):
        found += [".PP", _plain(" ".join(paragraph.split())) or "\\&"]
    return found


def _plain(text: str) -> str:
    """Escape what roff would read as a request or a hyphen."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
