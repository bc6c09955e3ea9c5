"""``insar-mining run``: the whole job from a folder of products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.pairs import for_people
from insar_mining.cli.speech import Speech, print_json, print_table, print_text, speech_of
from insar_mining.errors import OptionError
from insar_mining.options import ActivityOptions, RunOptions, read_options

if TYPE_CHECKING:
    from insar_mining.pipeline import Result, RunPlan

app = parameters.new_app()

ACTIVITY_SHOWN = ("year", "n_pairs", "n_pixels", "active_pixels", "area_m2", "area_nominal_m2")


@app.command()
def run(
    ctx: typer.Context,
    mine: Annotated[Path | None, typer.Argument(help="Vector file with the mine; may come from --config.")] = None,
    start: Annotated[str | None, parameters.option(RunOptions, "start", "--start", metavar="DATE")] = None,
    end: Annotated[str | None, parameters.option(RunOptions, "end", "--end", metavar="DATE")] = None,
    scenes: Annotated[Path | None, parameters.option(RunOptions, "scenes", "--scenes", metavar="DIR")] = None,
    dem: parameters.Dem = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder of the result (default <mine's file>-result).", show_default=False),
    ] = None,
    mine_id: parameters.MineId = None,
    engine: parameters.Engine = None,
    method: parameters.Method = None,
    config: parameters.Config = None,
    max_perp_baseline: parameters.MaxBaseline = None,
    temporal_baseline: parameters.TemporalBaselines = None,
    pol: parameters.Polarisation = None,
    relative_orbit: parameters.RelativeOrbit = None,
    exclude: parameters.Exclude = None,
    window: parameters.Window = None,
    spacing: parameters.Spacing = None,
    swath: parameters.Swaths = None,
    orbit: parameters.Orbits = None,
    dem_heights: parameters.DemHeights = None,
    ceiling: Annotated[float | None, parameters.option(ActivityOptions, "ceiling", "--ceiling", metavar="NDAI")] = None,
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
) -> None:
    """From a folder of Sentinel-1 products to yearly activity and a report.

    Interrupted or extended, the same command continues: finished maps are kept.
    """
    from insar_mining.pipeline import plan
    from insar_mining.pipeline import run as do

    base = RunOptions() if config is None else read_options(config, RunOptions)
    options = base.replace(
        mine=mine,
        mine_id=mine_id,
        start=start,
        end=end,
        scenes=scenes,
        dem=dem,
        pairs=base.pairs.replace(
            polarisation=pol,
            max_perp_baseline_m=max_perp_baseline,
            temporal_baseline_days=temporal_baseline,
            relative_orbit=relative_orbit,
            exclude=exclude,
        ),
        coherence=base.coherence.replace(
            engine=engine, window=window, spacing_m=spacing, swaths=swath, orbits=orbit, dem_heights=dem_heights
        ),
        activity=base.activity.replace(method=method, ceiling=ceiling),
    )
    if options.mine is None:
        raise OptionError("a run needs a mine: give its vector file as the first argument, or in the options file")
    folder = out or Path(f"{options.mine.stem}-result")
    speech = speech_of(ctx)
    with speech.progress() as show:
        if dry_run:
            planned = plan(options.mine, out=folder, options=options, progress=show)
        else:
            result = do(options.mine, out=folder, options=options, progress=show)
    if dry_run:
        print_plan(planned, as_json=as_json)
    else:
        print_result(result, speech, as_json=as_json)


def print_plan(planned: RunPlan, *, as_json: bool) -> None:
    """Print what a run would do."""
    columns = ["pair", "days", "perpendicular_baseline_m", "relative_orbit", "map"]
    shown = planned.pairs[columns]
    guess = planned.estimate
    totals = {
        "pairs": guess.pairs,
        "maps_to_make": guess.pairs_to_map,
        "bytes_to_read": guess.read_bytes,
        "bytes_on_disk": guess.disk_bytes,
        "seconds": round(guess.seconds),
        "out": str(planned.out),
    }
    if as_json:
        print_json({**totals, "list": shown.to_dict("records"), "plans": [p.describe() for p in planned.plans]})
        return
    print_table(for_people(shown), as_json=False, title=f"{guess.pairs} pairs over {planned.mine.name}")
    print_text(
        f"{guess.pairs_to_map} maps to make in {planned.out}: reads at most {guess.read_bytes / 1e9:.2f} GB, writes at "
        f"most {guess.disk_bytes / 1e9:.2f} GB, takes about {max(1, round(guess.seconds / 60))} min on two cores"
    )


def print_result(result: Result, speech: Speech, *, as_json: bool) -> None:
    """Print the yearly activity of a result, and where everything is."""
    if as_json:
        print_table(result.activity, as_json=True)
    else:
        print_table(result.activity[list(ACTIVITY_SHOWN)], as_json=False, title=f"Activity of {result.mine.name}")
    kept = int(result.scenes["kept"].sum())
    speech.say(
        f"{kept} of {len(result.scenes)} pairs kept; {len(result.skipped)} inputs left out (the report says why)"
    )
    if result.kept_maps:
        speech.say(f"{result.kept_maps} coherence maps of an earlier run were used again")
    speech.say(f"report: {result.report}")
