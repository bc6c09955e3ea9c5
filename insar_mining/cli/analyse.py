"""``insar-mining analyse``: from coherence maps that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.run import print_result
from insar_mining.cli.speech import speech_of
from insar_mining.errors import OptionError
from insar_mining.options.models import ActivityOptions, AnalyseOptions, read_options

app = parameters.new_app()


@app.command()
def analyse(
    ctx: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="Folder of coherence GeoTIFFs; may come from --config.")] = None,
    mine: Annotated[Path | None, parameters.option(AnalyseOptions, "mine", "--mine", metavar="FILE")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder of the result (default <mine's file>-result).", show_default=False),
    ] = None,
    mine_id: parameters.MineId = None,
    years: Annotated[list[int] | None, parameters.option(AnalyseOptions, "years", "--years", metavar="YEAR")] = None,
    method: parameters.Method = None,
    zero: Annotated[str | None, parameters.option(ActivityOptions, "zero", "--zero", metavar="MEANING")] = None,
    stable_mean_min: Annotated[
        float | None, parameters.option(ActivityOptions, "stable_mean_min", "--stable-mean-min", metavar="COHERENCE")
    ] = None,
    stable_std_max: Annotated[
        float | None, parameters.option(ActivityOptions, "stable_std_max", "--stable-std-max", metavar="COHERENCE")
    ] = None,
    scene_mean_min: Annotated[
        float | None, parameters.option(ActivityOptions, "scene_mean_min", "--scene-mean-min", metavar="COHERENCE")
    ] = None,
    scene_std_max: Annotated[
        float | None, parameters.option(ActivityOptions, "scene_std_max", "--scene-std-max", metavar="COHERENCE")
    ] = None,
    ceiling: Annotated[float | None, parameters.option(ActivityOptions, "ceiling", "--ceiling", metavar="NDAI")] = None,
    config: parameters.Config = None,
    as_json: parameters.Json = False,
) -> None:
    """From a folder of coherence GeoTIFFs, whoever made them, to yearly activity and a report.

    The two dates of a map are in its name (20210105_20210117, 20Dec2019_01Jan2020), in its tags
    or in a STAC item beside it. With fewer than three years there is no colour
    composite, and the published method has no area.
    """
    from insar_mining.pipeline import analyse as do

    base = AnalyseOptions() if config is None else read_options(config, AnalyseOptions)
    options = base.replace(
        folder=folder,
        mine=mine,
        mine_id=mine_id,
        years=years,
        activity=base.activity.replace(
            method=method,
            zero=zero,
            stable_mean_min=stable_mean_min,
            stable_std_max=stable_std_max,
            scene_mean_min=scene_mean_min,
            scene_std_max=scene_std_max,
            ceiling=ceiling,
        ),
    )
    if options.folder is None or options.mine is None:
        missing = "a folder of coherence maps" if options.folder is None else "a mine (--mine)"
        raise OptionError(f"an analysis needs {missing}; give it here or in the options file")
    speech = speech_of(ctx)
    with speech.progress() as show:
        result = do(
            options.folder,
            options.mine,
            out=out or Path(f"{options.mine.stem}-result"),
            options=options,
            progress=show,
        )
    print_result(result, speech, as_json=as_json)
