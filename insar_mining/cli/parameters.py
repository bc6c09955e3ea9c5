"""Parameters that several commands share and that are no option of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.options.models import SnapOptions

Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Plot to write (.png, .svg or .pdf): calendar, footprints over the mine, pairs."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Print every column of activity.csv instead of areas, intervals and flags.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Options file (YAML), such as the run.yaml of a result; options given here win."),
]
Snap = Annotated[
    list[str] | None,
    typer.Option(
        "--snap",
        metavar="NAME=VALUE",
        help="How ESA SNAP is run, such as memory=8G or scratch=DIR; repeat. Names: "
        f"{', '.join(SnapOptions.model_fields)} (docs/options.md).",
    ),
]
ResultFolder = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Folder of the result (default <mine's file>-result).", show_default=False),
]


def new_app() -> typer.Typer:
    """Return the frame of one command: plain help, errors handled by `speaking`."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
