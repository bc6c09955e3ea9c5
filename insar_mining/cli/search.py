"""``insar-mining search``: what ASF's archive holds over a mine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_record, print_table, speech_of
from insar_mining.errors import ArchiveError

app = parameters.new_app()


@app.command()
def search(
    ctx: typer.Context,
    mine: Annotated[Path, typer.Argument(help="Vector file with the mine's polygon.")],
    start: Annotated[str, typer.Option("--start", help="First day (UTC), as 2023-01-01.", metavar="DATE")],
    end: Annotated[str, typer.Option("--end", help="Last day (UTC), inclusive.", metavar="DATE")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Table of scenes to write (.geojson or .parquet).")
    ] = None,
    mine_id: parameters.MineId = None,
    product: Annotated[
        str, typer.Option("--product", help="burst (only those over the mine) or scene.", metavar="KIND")
    ] = "burst",
    direction: Annotated[
        str | None, typer.Option("--direction", help="ascending or descending.", metavar="NAME")
    ] = None,
    relative_orbit: parameters.RelativeOrbit = None,
    pol: Annotated[str, typer.Option("--pol", help="Polarisation that images must have.", metavar="VV")] = "VV",
    platform: Annotated[
        str | None, typer.Option("--platform", help="One satellite, as S1A; by default all.", metavar="NAME")
    ] = None,
    all_tracks: Annotated[
        bool, typer.Option("--all-tracks", help="Write every track, not only the one that is chosen.")
    ] = False,
    plot: parameters.Plot = None,
    as_json: parameters.Json = False,
) -> None:
    """Search the archive, choose the track that shows the mine best, and say what is missing in it."""
    from insar_mining.pipeline.inputs import mine_of
    from insar_mining.scenes import search as archive
    from insar_mining.scenes.records import write_records
    from insar_mining.scenes.tracks import choose_track, gaps, suggest_spacing

    found_mine = mine_of(mine, mine_id)
    table = archive.search(
        found_mine,
        start,
        end,
        kind=product,  # type: ignore[arg-type]  # search checks it, with its own words
        direction=direction,
        relative_orbit=relative_orbit,
        polarisation=pol,
        platform=platform,
    )
    if table.empty:
        raise ArchiveError(
            f"no image of {found_mine.id} from {start} to {end}; widen the dates or the other conditions"
        )
    choice = choose_track(table, found_mine.geometry)
    chosen = table[(table["relative_orbit"] == choice.relative_orbit) & (table["direction"] == choice.direction)]
    holes = gaps(chosen)
    speech = speech_of(ctx)
    for reason in choice.reasons:
        speech.say(reason)
    days = "one date only"
    if chosen["start"].dt.date.nunique() > 1:
        spacing = suggest_spacing(chosen)
        days = " ".join(f"--temporal-baseline {span}" for span in spacing.temporal_baseline_days)
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
            "bytes": int(chosen["bytes"].sum()),
        }
        print_record(record, as_json=True)
    else:
        print_table(choice.table, as_json=False, title=f"{len(table)} images over {found_mine.id}")
        print_table(holes.astype({"after": str, "before": str}), as_json=False, title="longer than a repeat")
        speech.say(f"pairs: {days}")
    if out is not None:
        write_records(table if all_tracks else chosen, out)
    if plot is not None:
        from insar_mining.report.plots_archive import figure_of_images, save_figure

        save_figure(figure_of_images(chosen, found_mine.geometry, name=found_mine.name), plot)
