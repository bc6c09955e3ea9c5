"""``insar-mining coherence``: one pair, one map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.inputs import AreaOptions
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.doors import GEOTIFF, open_raster
from insar_mining.options.models import RunOptions, Tiles

if TYPE_CHECKING:
    from insar_mining.coherence.plan.model import CoherencePlan

app = parameters.new_app()

OFFERED = (
    "pairs.polarisation",
    "coherence.window",
    "coherence.swaths",
    "coherence.spacing_m",
    "coherence.orbits",
    "coherence.dem_heights",
    "coherence.window_anchor",
    "coherence.engine",
    "coherence.estimator",
    "coherence.bands",
    "coherence.remove_fringes",
    "coherence.common_band",
    "coherence.refine",
    "coherence.goldstein_alpha",
    "coherence.remove_topography",
    "coherence.threads",
)


class PairOfProducts(AreaOptions):
    """Hold the two products of one map, their elevation model and the area."""

    reference: Path = Field(description="The earlier product: SAFE folder, zip, or burst product.")
    secondary: Path = Field(description="The later product.")
    dem: Tiles = Field(description="Elevation model that covers the area, its tiles, or a folder of them.")


@app.command()
@with_options(RunOptions, OFFERED)
@with_options(PairOfProducts, into="pair", arguments=["reference", "secondary"])
def coherence(
    ctx: typer.Context,
    pair: PairOfProducts,
    options: RunOptions,
    out: Annotated[Path, typer.Option("-o", "--out", help="GeoTIFF to write; its STAC item comes beside it.")],
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
) -> None:
    """Map the coherence of one pair.

    Without --mine and --bbox the area is what both products see.
    """
    from insar_mining.coherence.engine import coherence as carry_out
    from insar_mining.coherence.engine import engine_for

    speech = speech_of(ctx)
    plan = _plan(pair, options, out)
    if dry_run:
        print_record(plan.describe(), as_json=as_json)
        return
    engine = engine_for(options.coherence, snap=options.snap)
    if options.coherence.engine == "builtin" and not _compiled():
        speech.say("compiling the kernels, once on this machine: about a minute")
    with speech.progress() as show:
        path = carry_out(plan, engine, progress=lambda share: show("coherence", round(100 * share), 100))
    print_record({"pair": plan.pair, "path": str(path), **_summary(path)}, as_json=as_json)


def _compiled() -> bool:
    from insar_mining.coherence.builtin.compiled import are_compiled

    return are_compiled()


def _plan(pair: PairOfProducts, options: RunOptions, out: Path) -> CoherencePlan:
    from insar_mining.coherence.plan.model import make_plan
    from insar_mining.errors import DemError, OutputError, PairError
    from insar_mining.pipeline.inputs import check_folder, check_paths
    from insar_mining.sentinel1.product import open_product

    if out.is_dir():
        raise OutputError(f"{out}: is a folder, and the map needs the name of a file. Add one, such as pair.tif")
    check_folder(out.parent)
    check_paths(options)
    if not pair.dem.exists():
        raise DemError(f"{pair.dem}: no such file (--dem). Check the spelling and the folder")
    first, second = (open_product(path, require_manifest=False) for path in (pair.reference, pair.secondary))
    area = pair.geometry()
    if area is None:
        area = first.footprint.intersection(second.footprint)
        if area.is_empty:
            raise PairError(f"{first.name} and {second.name} see no common ground. Choose two scenes of one track.")
    polarisation = options.pairs.polarisation
    return make_plan(
        first, second, area=area, dem=pair.dem, out=out, options=options.coherence, polarisation=polarisation
    )


def _summary(path: Path) -> dict[str, object]:
    """Share of cells with a value, and the mean over them."""
    import numpy as np

    with open_raster(path, GEOTIFF) as source:
        values = source.read(1)
        tags = source.tags()
    finite = np.isfinite(values)
    return {
        "valid_share": round(float(finite.mean()), 4),
        "mean_coherence": round(float(values[finite].mean()), 4) if finite.any() else None,
        "perpendicular_baseline_m": float(tags["PERPENDICULAR_BASELINE_M"]),
    }
