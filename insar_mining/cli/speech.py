"""How commands speak: results to stdout, everything else to stderr, one line per warning or error."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from insar_mining.ends import INTERRUPTED as INTERRUPTED
from insar_mining.ends import StreamError, ending_of, say, unwritable
from insar_mining.errors import InsarMiningError, InsarMiningWarning

if TYPE_CHECKING:
    import pandas as pd

UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
KEY = "insar_mining.speech"

ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Speech:
    """Write what a command says: results to stdout, the rest to stderr."""

    debug: bool
    quiet: bool
    verbose: bool
    errors: Console

    def say(self, text: str) -> None:
        """Print something that is not a result (silent with ``--quiet``)."""
        if not self.quiet:
            self.errors.print(text, markup=False, highlight=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Print something for those who asked for detail."""
        if self.verbose:
            self.errors.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning, always."""
        self.errors.print(f"warning: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print why a command failed."""
        self.errors.print(f"error: {text}", style="bold red", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[ProgressCallback]:
        """Yield a callback (stage, done, total) that draws bars in a terminal and is silent elsewhere."""
        if self.quiet or not self.errors.is_terminal:
            yield lambda stage, done, total: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=self.errors) as bars:

            def show(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=total)
                bars.update(tasks[stage], completed=done, total=total)

            yield show


def speech_of(ctx: typer.Context) -> Speech:
    """Return the speech of the command that is running."""
    speech = ctx.meta[KEY]
    assert isinstance(speech, Speech)
    return speech


@contextmanager
def speaking(ctx: typer.Context) -> Iterator[None]:
    """Turn warnings into lines, and errors into one line and an exit code, around a command."""
    flags = {name: bool(ctx.params.get(name)) for name in ("debug", "quiet", "verbose")}
    speech = Speech(**flags, errors=Console(stderr=True))
    ctx.meta[KEY] = speech
    with _warnings_as_lines(speech), _log_to(speech):
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            _end_by(error, speech)


def _end_by(error: BaseException, speech: Speech) -> None:
    """Report in one line why a command ends, and end it with the exit code of that."""
    if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
        raise error  # the frame's own way of ending, a wrong argument for one
    ending = ending_of(error)
    if ending is not None:
        if speech.debug:
            say(traceback.format_exc())
        say(f"error: {ending[1]}")  # in plain text: what draws colours may need memory of its own
        raise typer.Exit(ending[0]) from None
    if isinstance(error, StreamError):
        raise typer.Exit(unwritable(error)) from None
    if isinstance(error, InsarMiningError):
        _end(speech, " ".join(str(error).split()), 1)
    if isinstance(error, OSError) and error.filename is not None:
        _end(speech, f"{error.filename}: {error.strerror}; check the name, the folder and your rights there", 1)
    if isinstance(error, UnicodeEncodeError) and error.reason.startswith("surrogates"):
        _end(speech, f"{error.object[:300]!a}: is not UTF-8; use another name", 1)
    text = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    _end(speech, f"{text} (please report it with the output of --debug)", UNEXPECTED)


def _end(speech: Speech, text: str, code: int) -> None:
    if speech.debug:
        speech.errors.print(traceback.format_exc(), markup=False, highlight=False, soft_wrap=True)
    speech.fail(text)
    raise typer.Exit(code) from None


@contextmanager
def _warnings_as_lines(speech: Speech) -> Iterator[None]:
    """Show the package's own warnings, each once; other libraries' only with ``--verbose``."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        own = issubclass(category, InsarMiningWarning)
        text = " ".join(str(message).split()) if own else f"{category.__name__}: {' '.join(str(message).split())}"
        if (own or speech.verbose) and text not in seen:
            seen.add(text)
            speech.warn(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always" if speech.verbose else "ignore")
        warnings.simplefilter("always", InsarMiningWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextmanager
def _log_to(speech: Speech) -> Iterator[None]:
    """Send the package's log to stderr with ``--verbose``."""
    logger = logging.getLogger("insar_mining")
    if not speech.verbose:
        yield
        return

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            speech.detail(self.format(record))

    handler, level = Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Output(Console):
    """Write to standard output; a reader that is gone ends the command without an error."""

    def on_broken_pipe(self) -> None:
        """Raise what `speaking` knows, where the library would end the process with an error."""
        raise StreamError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_table(table: pd.DataFrame, *, as_json: bool, title: str | None = None) -> None:
    """Print a table to stdout: for people, or as a JSON list with one object per row."""
    if as_json:
        print_json(json.loads(table.to_json(orient="records", date_format="iso", double_precision=10)))
        return
    # names of mines and files may hold what rich would take for markup
    shown = Table(title=None if title is None else Text(title), title_justify="left")
    for name, dtype in table.dtypes.items():
        shown.add_column(str(name), justify="right" if dtype.kind in "fiu" else "left", overflow="fold")
    for row in table.itertuples(index=False, name=None):
        shown.add_row(*(Text(_cell(value)) for value in row))
    _Output().print(shown)


def print_text(text: str) -> None:
    """Print a line to stdout."""
    sys.stdout.write(f"{text}\n")


def print_json(value: object) -> None:
    """Print JSON to stdout; dates and paths become text, missing numbers null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if value != value else value  # NaN is not JSON


def print_record(record: Mapping[str, object], *, as_json: bool) -> None:
    """Print one thing to stdout: a line per field, or a JSON object."""
    if as_json:
        print_json(record)
        return
    width = max(len(name) for name in record)
    for name, value in record.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def _cell(value: object) -> str:
    import pandas as pd

    if value is None or value is pd.NA or value != value:  # only NaN and NaT differ from themselves
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
