"""``insar-mining run``: the whole job, from the archive or from a folder of products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from insar_mining.cli import inputs, parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.pairs import for_people
from insar_mining.cli.speech import Speech, print_json, print_table, print_text, speech_of
from insar_mining.errors import OptionError
from insar_mining.options.models import RunOptions

if TYPE_CHECKING:
    from insar_mining.pipeline import Result, RunPlan
    from insar_mining.pipeline.costs import ArchivePlan

app = parameters.new_app()

ACTIVITY_SHOWN = ("year", "n_pairs", "area_m2", "area_low_m2", "area_high_m2", "flags")

OFFERED = (
    "mine",
    "start",
    "end",
    "scenes",
    "dem",
    "mine_id",
    "coherence.engine",
    "activity.method",
    "pairs.max_perp_baseline_m",
    "pairs.temporal_baseline_days",
    "pairs.polarisation",
    "pairs.relative_orbit",
    "pairs.exclude",
    "pairs.allow_mixed_platforms",
    "coherence.window",
    "coherence.spacing_m",
    "coherence.swaths",
    "coherence.orbits",
    "coherence.dem_heights",
    "archive.folder",
    "archive.product",
    "archive.dem_source",
    "archive.orbit_files",
    "archive.connections",
    "archive.bandwidth_mb_s",
    "archive.line_mb_s",
    "activity.ceiling",
)


@app.command()
@with_options(RunOptions, OFFERED, arguments=["mine"], config=True)
def run(
    ctx: typer.Context,
    options: RunOptions,
    out: parameters.ResultFolder = None,
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
    wide: parameters.Wide = False,
) -> None:
    """Turn Sentinel-1 products into yearly activity and a report.

    Without --scenes the archive is searched, and the bursts over the mine are fetched with their orbits; without
    --dem an elevation model is.  Interrupted or extended, the same command continues: nothing is fetched twice, and
    finished maps are kept.
    """
    from insar_mining.pipeline import plan
    from insar_mining.pipeline import run as do
    from insar_mining.pipeline.inputs import check_folder, check_paths

    if options.mine is None:
        raise OptionError("a run needs a mine: give its vector file as the first argument, or in the options file")
    folder = out or Path(f"{options.mine.stem}-result")
    check_folder(folder)
    check_paths(options)
    speech = speech_of(ctx)
    with speech.progress() as show:
        if dry_run:
            planned = plan(options.mine, out=folder, options=options, progress=show, network=inputs.open_network())
        else:
            result = do(options.mine, out=folder, options=options, progress=show, network=inputs.open_network())
    if dry_run:
        print_plan(planned, as_json=as_json)
    else:
        print_result(result, speech, as_json=as_json, wide=wide)


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
        **({} if planned.archive is None else {"archive": describe_archive(planned.archive)}),
    }
    if as_json:
        print_json({**totals, "list": shown.to_dict("records"), "plans": [p.describe() for p in planned.plans]})
        return
    print_table(for_people(shown), as_json=False, title=f"{guess.pairs} pairs over {planned.mine.name}")
    if planned.archive is not None:
        print_archive(planned.archive)
    print_text(
        f"{guess.pairs_to_map} maps to make in {planned.out}: reads at most {guess.read_bytes / 1e9:.2f} GB, writes at "
        f"most {guess.disk_bytes / 1e9:.2f} GB, takes about {max(1, round(guess.seconds / 60))} min on two cores"
    )


def describe_archive(archive: ArchivePlan) -> dict[str, object]:
    """Return what would be fetched as plain values."""
    return {
        "product": archive.product,
        "track": archive.track,
        "direction": archive.direction,
        "reasons": list(archive.reasons),
        "dates": archive.dates,
        "images": archive.images,
        "files": archive.files,
        "bytes": archive.all_bytes,
        "bytes_missing": archive.missing_bytes,
        "bytes_as_whole_scenes": archive.whole_scenes_bytes,
        "disk_bytes": archive.disk_bytes,
        "hours": round(archive.hours, 2),
        "gaps": archive.gaps.astype(str).to_dict("records"),
        "rejected": [dict(one) for one in archive.rejected],
        "unobtainable": [{"scene": scene, "reason": reason} for scene, reason in archive.unobtainable],
        "folder": str(archive.folder),
    }


def print_archive(archive: ArchivePlan) -> None:
    """Print what would be fetched, and what the archive does not have."""
    for reason in archive.reasons:
        print_text(reason)
    if len(archive.gaps):
        shown = archive.gaps.assign(after=archive.gaps["after"].dt.date, before=archive.gaps["before"].dt.date)
        shown = shown[["after", "before", "days", "missing", "note"]]
        print_table(shown, as_json=False, title="no image for longer than a repeat")
    pairs = [one for one in archive.rejected if one["pair"]]
    for one in pairs:
        print_text(f"not used: {one['pair']}: {one['reason']}")
    for scene, reason in archive.unobtainable:
        print_text(f"cannot be had: {scene}: {reason}")
    whole, share = archive.whole_scenes_bytes / 1e9, archive.all_bytes / max(archive.whole_scenes_bytes, 1)
    kind = f"bursts ({share:.1%} of the {whole:,.1f} GB of whole scenes)" if archive.product == "burst" else "scenes"
    print_text(
        f"{archive.dates} dates in {archive.files} files: {archive.all_bytes / 1e9:,.2f} GB as {kind}, of which "
        f"{archive.missing_bytes / 1e9:,.2f} GB are still to be fetched into {archive.folder}, in about "
        f"{archive.hours:.1f} hours; {archive.disk_bytes / 1e9:,.2f} GB on the disk with orbits and elevation"
    )


def print_result(result: Result, speech: Speech, *, as_json: bool, wide: bool = False) -> None:
    """Print the yearly activity of a result, and where everything is."""
    if as_json:
        print_table(result.activity, as_json=True)
    else:
        table = result.activity
        if "flags" in table.columns:
            table = table.assign(flags=table["flags"].str.replace("; ", "\n"))
        shown = table[[name for name in ACTIVITY_SHOWN if name in table.columns]]
        if wide:  # some twenty columns are read as rows
            shown = table.astype(object).set_index("year").T.rename_axis(index="column", columns=None).reset_index()
        print_table(shown, as_json=False, title=f"Activity of {result.mine.name}")
    kept = int(result.scenes["kept"].sum())
    speech.say(
        f"{kept} of {len(result.scenes)} pairs kept; {len(result.skipped)} inputs left out (the report says why)"
    )
    if result.kept_maps:
        speech.say(f"{result.kept_maps} coherence maps of an earlier run were used again")
    speech.say(f"report: {result.report}")
