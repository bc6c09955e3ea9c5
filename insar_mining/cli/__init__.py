"""The command line: it only speaks, every job is a function of the package.

Nothing heavy is imported here, so that ``insar-mining --help`` answers at once; a
command's module, and the libraries it needs, load when the command is called.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as command_of

from insar_mining import __version__

# name of the command: (its module in this package, one line for the list of commands)
COMMANDS = {
    "demo": ("demo", "Simulate a mine and do the whole job on it, offline."),
    "run": ("run", "Turn Sentinel-1 products into yearly activity and a report."),
    "search": ("search", "Search ASF's archive for images over a mine."),
    "pairs": ("pairs", "List the pairs that a folder of products gives."),
    "fetch": ("fetch", "Fetch products from ASF's archive, resumed and checked."),
    "verify": ("verify", "Check that everything in a folder is whole."),
    "coherence": ("coherence", "Map the coherence of one pair."),
    "analyse": ("analyse", "Turn coherence maps into yearly activity and a report."),
    "emissions": ("emissions", "Turn active area into ore and emissions."),
    "portfolio": ("portfolio", "Plan, run and report many mines together."),
    "update": ("update", "Add new dates to a result, and list what changed."),
    "inventory": ("inventory", "Estimate ore, emissions and land carbon of mines and countries."),
    "factors": ("factors", "Find, check and compare emission factors."),
    "simulate": ("simulate", "Write simulated products of known coherence."),
    "compare": ("compare", "Compare two maps of coherence on one grid."),
    "graph": ("graph", "Show, fill in and check the graphs that run in ESA SNAP."),
    "doctor": ("doctor", "List what the engines lack on this machine."),
    "manual": ("manual", "Print the manual page of all commands."),
}

# options of paths that count together where they are given more than once
SEVERAL_PATHS = {"--dem"}

# options of every command, which may stand before or after its name
COMMON_FLAGS = {"--debug", "--quiet", "-q", "--verbose", "-v"}


def joined_paths(args: list[str]) -> list[str]:
    """Make one value of the paths of an option that may name several, as the variable PATH has them."""
    end = args.index("--") if "--" in args else len(args)
    values, rest, ahead = [], [], iter(args[:end])
    for arg in ahead:
        flag, equals, value = arg.partition("=")
        if flag in SEVERAL_PATHS and (value := value if equals else next(ahead, "")):
            values.append((flag, value))
        else:
            rest.append(arg)
    if len(values) < 2:
        return args
    return [*rest, values[0][0], os.pathsep.join(value for _, value in values), *args[end:]]


def refusing_repeats(command: Any) -> Any:
    """Make a command, and those below it, refuse an option of one value that is given twice.

    The parser would take the last value, and drop the others without a word.
    """
    for below in getattr(command, "commands", {}).values():
        refusing_repeats(below)
    parse = command.parse_args

    def parse_once(ctx: Any, args: list[str]) -> Any:
        args = joined_paths(args)
        values, _, given = command.make_parser(ctx).parse_args(args=list(args))
        for value in values.values():
            # GDAL would take such a path for an archive or a host, whatever is on the disk
            for text in value if isinstance(value, list | tuple) else [value]:
                if str(text).startswith("/vsi"):
                    ctx.fail(
                        f"{str(text)!r}: a virtual file of GDAL is neither read nor written; give a file or folder"
                    )
        seen: set[Any] = set()
        for parameter in given:
            is_single = parameter.param_type_name == "option" and not (
                parameter.multiple or parameter.is_flag or parameter.count
            )
            if is_single and parameter in seen:
                ctx.fail(f"{parameter.opts[0]}: is given more than once, and takes one value")
            seen.add(parameter)
        return parse(ctx, args)

    command.parse_args = parse_once
    return command


class Commands(TyperGroup):
    """Group commands that are imported when they are called."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names of the commands, in the order of the list above."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a command; inside the list of commands one that only knows its line."""
        if cmd_name not in COMMANDS:
            return None
        module, line = COMMANDS[cmd_name]
        if ctx.meta.get("insar_mining.listing"):
            return TyperCommand(cmd_name, help=line)
        command = refusing_repeats(command_of(importlib.import_module(f"insar_mining.cli.{module}").app))
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of the first argument; of an unknown one name the nearest."""
        name = str(args[0]) if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, list(COMMANDS), n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COMMANDS)}"
            ctx.fail(f"No such command {name!r}; {advice}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete names of commands without importing them."""
        ctx.meta["insar_mining.listing"] = True
        return super().shell_complete(ctx, incomplete)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group without importing a command."""
        ctx.meta["insar_mining.listing"] = True
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the common flags from wherever they stand, up to a ``--``."""
        end = args.index("--") if "--" in args else len(args)
        common = [arg for arg in args[:end] if arg in COMMON_FLAGS]
        rest = [arg for arg in args[:end] if arg not in COMMON_FLAGS]
        return super().parse_args(ctx, common + rest + args[end:])

    def invoke(self, ctx: Any) -> Any:
        """Call a command; an error becomes one clear line and an exit code."""
        from insar_mining.cli.speech import speaking

        with speaking(ctx):
            return super().invoke(ctx)


WAYS_IN = """\b
Three ways in:
  insar-mining demo                                  a simulated mine, the whole job, offline
  insar-mining run mine.geojson --start 2021-01-01 --end 2023-12-31 --dry-run
                                                     what the archive has, what it costs
  insar-mining analyse maps/ --mine mine.geojson     from coherence maps that exist already

\b
Exit codes: 0 done; 1 an error with its remedy; 2 a wrong argument; 3 findings that are
errors (inventory, factors); 10 new data and 11 a change (update); 70 an unexpected error;
130 interrupted; 143 terminated.

Every command takes --help, and --debug, --quiet or --verbose before or after its name.
NO_COLOR=1 switches colours off.
"""

app = typer.Typer(
    cls=Commands,
    name="insar-mining",
    help="How much of a mine was worked in each year, from repeat-pass Sentinel-1 coherence.",
    epilog=WAYS_IN,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"insar-mining {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only results, warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done in detail.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Read by `speaking`, which sees them before any command runs."""


def command_line() -> object:
    """Run the command line in its frame; wrong arguments are shown, an interrupt is raised."""
    try:
        return app(prog_name="insar-mining", standalone_mode=False)
    except SystemExit as end:
        # the frame ends the process with 1 where a reader is gone, which is no error
        if isinstance(end.__context__, OSError):
            raise end.__context__ from None
        raise
    except Exception as error:
        show = getattr(error, "show", None)
        if show is not None:  # a wrong argument
            show()
        elif error.__cause__ is not None and type(error).__name__ == "Abort":
            raise error.__cause__ from None  # the frame makes an abort of an interrupt
        return _code_of(error)


def _code_of(error: Exception) -> int:
    code = getattr(error, "exit_code", None)
    if code is None:
        raise error
    return int(code)


def main() -> None:
    """Run the command line and end the process; ``python -m insar_mining`` starts here."""
    from insar_mining.ends import main_of

    sys.exit(main_of(command_line))


if __name__ == "__main__":
    main()
