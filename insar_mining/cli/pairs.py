"""``insar-mining pairs``: what a folder of products gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.inputs import MineOptions
from insar_mining.cli.speech import print_table, speech_of
from insar_mining.files import write_text
from insar_mining.options.models import RunOptions
from insar_mining.tables import csv_text

if TYPE_CHECKING:
    import pandas as pd

app = parameters.new_app()

TABLES = (".geojson", ".json", ".parquet")
SHOWN = ("pair", "days", "perpendicular_baseline_m", "relative_orbit", "reference", "secondary")

OFFERED = (
    "pairs.max_perp_baseline_m",
    "pairs.temporal_baseline_days",
    "pairs.polarisation",
    "pairs.relative_orbit",
    "pairs.exclude",
    "pairs.network",
    "pairs.connections",
    "pairs.max_pairs",
    "pairs.allow_mixed_platforms",
    "coherence.orbits",
)


@app.command()
@with_options(RunOptions, OFFERED)
@with_options(MineOptions, into="seen_from")
def pairs(
    ctx: typer.Context,
    scenes: Annotated[
        Path, typer.Argument(help="Folder of Sentinel-1 SLC products, or a table of scenes (`search -o`).")
    ],
    options: RunOptions,
    seen_from: MineOptions,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="GeoJSON to write, one feature per pair.")] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="CSV to write: every candidate that is not used, and why.")
    ] = None,
    plot: parameters.Plot = None,
    as_json: parameters.Json = False,
) -> None:
    """List the pairs that a folder of products gives: consecutive dates, 12 days apart or else 24."""
    from insar_mining.scenes.network import choose_pairs
    from insar_mining.scenes.pairs import rejected_candidates
    from insar_mining.scenes.passes import with_one_track
    from insar_mining.scenes.products import scan_products
    from insar_mining.scenes.records import read_records, write_pairs

    chosen_mine = seen_from.read()
    area = None if chosen_mine is None else chosen_mine.geometry
    found = read_records(scenes) if scenes.is_file() and scenes.suffix.lower() in TABLES else scan_products(scenes)
    table = choose_pairs(found, options.pairs, area=area, orbits=options.coherence.orbits)
    shown = table[list(SHOWN)]
    print_table(shown if as_json else for_people(shown), as_json=as_json, title=f"{len(table)} pairs in {scenes}")
    unused = rejected_candidates(table)
    for row in unused.to_dict("records"):
        speech_of(ctx).detail(f"not used: {row['pair'] or row['scene']}: {row['reason']}")
    if len(unused):
        speech_of(ctx).say(f"{len(unused)} candidates are not used (--rejected FILE or --verbose says why)")
    if rejected is not None:
        write_text(rejected, csv_text(unused))
    if out is not None:
        write_pairs(table, found, out)
    if plot is not None:
        from insar_mining.report.plots_archive import figure_of_images, save_figure

        found = with_one_track(found)
        of_track = found[found["relative_orbit"].isin(table["relative_orbit"].unique())]
        name = "mine" if chosen_mine is None else chosen_mine.name
        save_figure(figure_of_images(of_track, area, table, name=name), plot)


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """Return a pair table that fits into a terminal: short names, no scene names (the dates name them)."""
    short = {"perpendicular_baseline_m": "b_perp_m", "relative_orbit": "track"}
    return table.drop(columns=["reference", "secondary"], errors="ignore").rename(columns=short)
