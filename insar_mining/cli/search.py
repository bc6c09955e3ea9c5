"""``insar-mining search``: what ASF's archive holds over a mine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.speech import print_record, print_table, speech_of
from insar_mining.errors import ArchiveError
from insar_mining.options.base import Options, flag
from insar_mining.options.models import Polarisation, Upper

app = parameters.new_app()


class Wanted(Options):
    """Describe which images are searched for, and which of them are written."""

    mine: Path = Field(description="Vector file with the mine's polygon.")
    mine_id: str | None = Field(None, description="Identifier of the mine, where the file holds several.")
    start: str = Field(description="First day (UTC), as 2023-01-01.")
    end: str = Field(description="Last day (UTC), inclusive.")
    product: Literal["burst", "scene"] = Field("burst", description="Only the bursts over the mine, or whole scenes.")
    direction: Literal["ascending", "descending"] | None = Field(None, description="Direction of flight.")
    relative_orbit: int | None = Field(
        None, ge=1, le=175, description="Track (relative orbit) to use; by default the one that gives most pairs."
    )
    polarisation: Annotated[Polarisation, Upper] = Field(
        "VV", description="Polarisation that images must have.", json_schema_extra=flag("--pol")
    )
    platform: str | None = Field(None, description="One satellite, as S1A; by default all.")
    all_tracks: bool = Field(False, description="Write every track, not only the one that is chosen.")


@app.command()
@with_options(Wanted, into="wanted", arguments=["mine"])
def search(
    ctx: typer.Context,
    wanted: Wanted,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Table of scenes to write (.geojson or .parquet).")
    ] = None,
    plot: parameters.Plot = None,
    as_json: parameters.Json = False,
) -> None:
    """Search the archive, choose the track that shows the mine best, and say what is missing in it."""
    from insar_mining.pipeline.inputs import mine_of
    from insar_mining.scenes import search as archive
    from insar_mining.scenes.records import write_records
    from insar_mining.scenes.tracks import choose_track, gaps, suggest_spacing

    mine = mine_of(wanted.mine, wanted.mine_id)
    table = archive.search(
        mine,
        wanted.start,
        wanted.end,
        kind=wanted.product,
        direction=wanted.direction,
        relative_orbit=wanted.relative_orbit,
        polarisation=wanted.polarisation,
        platform=wanted.platform,
    )
    if table.empty:
        raise ArchiveError(
            f"no image of {mine.id} from {wanted.start} to {wanted.end}. Widen the dates or the other conditions."
        )
    choice = choose_track(table, mine.geometry)
    chosen = table[(table["relative_orbit"] == choice.relative_orbit) & (table["direction"] == choice.direction)]
    holes = gaps(chosen)
    speech = speech_of(ctx)
    for reason in choice.reasons:
        speech.say(reason)
    days, series = "one date only", []
    if chosen["start"].dt.date.nunique() > 1:
        spacing = suggest_spacing(chosen)
        days = " ".join(f"--temporal-baseline {span}" for span in spacing.temporal_baseline_days)
        series = [{**dataclasses.asdict(one), "options": one.options} for one in spacing.series]
        for reason in spacing.reasons:
            speech.say(reason)
    if as_json:
        record = {
            "images": len(table),
            "track": choice.relative_orbit,
            "direction": choice.direction,
            "reasons": list(choice.reasons),
            "tracks": choice.table.to_dict("records"),
            "gaps": holes.astype(str).to_dict("records"),
            "pair_options": days,
            "series": series,
            "bytes": int(chosen["bytes"].sum()),
        }
        print_record(record, as_json=True)
    else:
        print_table(choice.table, as_json=False, title=f"{len(table)} images over {mine.id}")
        print_table(holes.astype({"after": str, "before": str}), as_json=False, title="longer than a repeat")
        speech.say(f"pairs: {days}")
    if out is not None:
        write_records(table if wanted.all_tracks else chosen, out)
    if plot is not None:
        from insar_mining.report.plots_archive import figure_of_images, save_figure

        save_figure(figure_of_images(chosen, mine.geometry, name=mine.name), plot)
