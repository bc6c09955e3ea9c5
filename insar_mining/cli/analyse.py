"""``insar-mining analyse``: from coherence maps that exist already."""

from __future__ import annotations

from pathlib import Path

import typer

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.run import print_result
from insar_mining.cli.speech import speech_of
from insar_mining.errors import OptionError
from insar_mining.options.models import AnalyseOptions

app = parameters.new_app()

OFFERED = (
    "folder",
    "mine",
    "mine_id",
    "years",
    "activity.method",
    "activity.zero",
    "maps.pattern",
    "maps.band",
    "maps.pol",
    "maps.scale",
    "maps.repeat_days",
    "maps.max_span_days",
    "maps.track",
    "activity.stable_mean_min",
    "activity.stable_std_max",
    "activity.scene_mean_min",
    "activity.scene_std_max",
    "activity.ceiling",
)


@app.command()
@with_options(AnalyseOptions, OFFERED, arguments=["folder"], config=True)
def analyse(
    ctx: typer.Context,
    options: AnalyseOptions,
    out: parameters.ResultFolder = None,
    as_json: parameters.Json = False,
    wide: parameters.Wide = False,
) -> None:
    """Turn a folder of coherence maps of any origin into yearly activity and a report.

    The two dates of a map are in its name (20210105_20210117, 20Dec2019_01Jan2020) or its folder's, in its tags or in
    a STAC item beside it. With fewer than three years there is no colour
    composite, and the published method has no area.
    """
    from insar_mining.pipeline import analyse as do
    from insar_mining.pipeline.inputs import check_paths

    if options.folder is None or options.mine is None:
        missing = "a folder of coherence maps" if options.folder is None else "a mine (--mine)"
        raise OptionError(f"an analysis needs {missing}. Give it here or in the options file.")
    check_paths(options)
    speech = speech_of(ctx)
    target = out or Path(f"{options.mine.stem}-result")
    with speech.progress() as show:
        result = do(options.folder, options.mine, out=target, options=options, progress=show)
    print_result(result, speech, as_json=as_json, wide=wide)
