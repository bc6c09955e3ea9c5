"""Arguments and options that several commands share; their help comes from the options' descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from insar_mining.errors import OptionError
from insar_mining.options.models import (
    ActivityOptions,
    ArchiveOptions,
    CoherenceOptions,
    Options,
    PairOptions,
    RunOptions,
    SnapOptions,
    default_of,
    help_of,
)


def new_app() -> typer.Typer:
    """Return the frame of one command: plain help, our own way with errors."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def option(model: type[Options], name: str, *flags: str, metavar: str | None = None) -> Any:
    """Return a command-line option for an option of a model; not given, it is None."""
    default = default_of(model, name)
    text = help_of(model, name) + (f" (default {default})" if default else "")
    return typer.Option(*flags, help=text, show_default=False, metavar=metavar)


Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Plot to write (.png, .svg or .pdf): calendar, footprints over the mine, pairs."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Options file (YAML), such as the run.yaml of a result; options given here win."),
]
MineId = Annotated[str | None, option(RunOptions, "mine_id", "--mine-id")]
Dem = Annotated[Path | None, option(RunOptions, "dem", "--dem")]
DemHeights = Annotated[str | None, option(CoherenceOptions, "dem_heights", "--dem-heights", metavar="REFERENCE")]
Engine = Annotated[str | None, option(CoherenceOptions, "engine", "--engine", metavar="NAME")]
Method = Annotated[str | None, option(ActivityOptions, "method", "--method", metavar="NAME")]
Window = Annotated[str | None, option(CoherenceOptions, "window", "--window", metavar="AxR")]
Spacing = Annotated[float | None, option(CoherenceOptions, "spacing_m", "--spacing", metavar="METRES")]
Swaths = Annotated[list[str] | None, option(CoherenceOptions, "swaths", "--swath", metavar="IWn")]
Orbits = Annotated[list[Path] | None, option(CoherenceOptions, "orbits", "--orbit", metavar="FILE")]
Polarisation = Annotated[str | None, option(PairOptions, "polarisation", "--pol", metavar="VV")]
MaxBaseline = Annotated[
    float | None, option(PairOptions, "max_perp_baseline_m", "--max-perp-baseline", metavar="METRES")
]
TemporalBaselines = Annotated[
    list[int] | None, option(PairOptions, "temporal_baseline_days", "--temporal-baseline", metavar="DAYS")
]
RelativeOrbit = Annotated[int | None, option(PairOptions, "relative_orbit", "--relative-orbit", metavar="TRACK")]
Exclude = Annotated[list[str] | None, option(PairOptions, "exclude", "--exclude", metavar="DATE")]
Connections = Annotated[int | None, option(ArchiveOptions, "connections", "--connections", metavar="N")]
Bandwidth = Annotated[float | None, option(ArchiveOptions, "bandwidth_mb_s", "--bandwidth", metavar="MB")]
Line = Annotated[float | None, option(ArchiveOptions, "line_mb_s", "--line", metavar="MB")]
Snap = Annotated[
    list[str] | None,
    typer.Option(
        "--snap",
        metavar="NAME=VALUE",
        help="How ESA SNAP is run, such as memory=8G or scratch=DIR; repeat. Names: "
        f"{', '.join(SnapOptions.model_fields)} (docs/options.md).",
    ),
]


def snap_of(texts: list[str] | None, base: SnapOptions | None = None) -> SnapOptions:
    """Read ``--snap NAME=VALUE`` over what an options file says.

    Raises
    ------
    OptionError
        No such option (the nearest is named), a value that it cannot have, or none.
    """
    values: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise OptionError(f"--snap {text!r}: write NAME=VALUE, such as memory=8G")
        values[name.strip()] = value
    unknown = values.keys() - SnapOptions.model_fields.keys()
    if unknown:
        SnapOptions(**{name: values[name] for name in unknown})  # says which is meant
    return (base or SnapOptions()).replace(**values)
