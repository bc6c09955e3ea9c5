"""``insar-mining demo``: a simulated mine, the whole job, and the truth beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.run import print_result
from insar_mining.cli.speech import print_table, print_text, speech_of
from insar_mining.options.models import RunOptions

if TYPE_CHECKING:
    import pandas as pd

    from insar_mining.pipeline import Result

app = parameters.new_app()

SIMULATED = "simulated"
# ground around the mine that is simulated, and so can be its control
SIMULATED_MARGIN_M = 200.0


@app.command()
@with_options(RunOptions, ["coherence.engine"])
def demo(
    ctx: typer.Context,
    options: RunOptions,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the result; the simulated scenes come into it too.")
    ] = Path("demo-mine"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulation.", min=0)] = 20230904,
    keep_scenes: Annotated[
        bool, typer.Option("--keep-scenes", help="Keep the simulated scenes, half a gigabyte, after the maps are made.")
    ] = False,
    as_json: parameters.Json = False,
    wide: parameters.Wide = False,
) -> None:
    """Simulate a small open-pit mine under a real orbit and do the whole job on it, offline.

    Three years of a dozen dates each; what is found is printed beside what was put in.  The
    simulated scenes are deleted at the end unless --keep-scenes is given; nothing else is.
    """
    from insar_mining.options.models import ActivityOptions
    from insar_mining.pipeline import Truth, run
    from insar_mining.pipeline.lock import folder_lock
    from insar_mining.simulate.demo import delete_scenes, write_demo

    speech = speech_of(ctx)
    speech.say("a simulated open-pit mine in 36 scenes under the orbit of a real Sentinel-1 scene (no pixel is real)")
    with speech.progress() as show:
        with folder_lock(out / SIMULATED):
            scene = write_demo(out / SIMULATED, seed=seed, progress=lambda done, total: show("simulation", done, total))
        result = run(
            scene.mine,
            min(scene.dates),
            max(scene.dates),
            scenes=scene.scenes,
            dem=scene.dem,
            out=out,
            engine=options.coherence.engine,
            activity=ActivityOptions(margin_m=SIMULATED_MARGIN_M),
            progress=show,
            truth=Truth.read(scene.truth, scene.active_area_m2),
        )
    assert result.truth is not None
    if not keep_scenes:
        with folder_lock(out / SIMULATED):
            deleted = delete_scenes(scene)
        speech.say(f"{scene.scenes}: {deleted / 1e6:.0f} MB of simulated scenes deleted (--keep-scenes keeps them)")
    table = beside(result.truth, published_areas(result, out / "coherence"))
    if as_json:
        print_table(table, as_json=True)
        return
    print_result(result, speech, as_json=False, wide=wide)
    shown = table.drop(columns=["edge_share", "published_m2"])
    shown = shown.rename(columns={"difference_percent": "diff_%", "published_difference_percent": "published_diff_%"})
    print_table(shown, as_json=False, title="Active area found beside the area simulated (true cell areas)")
    print_text(explanation(table))


def published_areas(result: Result, maps: Path) -> pd.Series:
    """Return the active area of every year by the published method, from the same maps; index year."""
    from insar_mining.options.models import ActivityOptions
    from insar_mining.pipeline.analysis import analyse_maps

    published = analyse_maps(maps, result.mine, ActivityOptions(method="published"))
    return published.activity.set_index("year")["area_m2"]


def beside(truth: pd.DataFrame, published_m2: pd.Series) -> pd.DataFrame:
    """Return the comparison with the difference of the areas in per cent, and the published method's beside it."""
    percent = 100 * (truth["found_area_m2"] / truth["truth_area_m2"] - 1)
    table = truth.rename(columns={"truth_area_m2": "simulated_m2", "found_area_m2": "found_m2"})
    table.insert(3, "difference_percent", percent.round(1))
    table["published_m2"] = published_m2.reindex(table["year"]).to_numpy()
    table["published_difference_percent"] = (100 * (table["published_m2"] / table["simulated_m2"] - 1)).round(1)
    return table


def explanation(table: pd.DataFrame) -> str:
    """Explain the difference between measured and true area from the numbers themselves."""
    missed, false = table["missed_m2"].sum(), table["false_m2"].sum()
    wrong = (table["missed_m2"] + table["false_m2"]).sum()
    at_edges = 100 * (table["edge_share"] * (table["missed_m2"] + table["false_m2"])).sum() / max(wrong, 1)
    return (
        f"Over all years {missed / 1e6:.2f} km2 of worked ground were missed, and {false / 1e6:.2f} km2 found where "
        f"none was worked; {at_edges:.0f} % of both lie within 40 m of the edge of a worked zone, where the coherence "
        "window (2 x 7 samples) mixes worked and untouched ground."
    )
