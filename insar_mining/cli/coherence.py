"""``insar-mining coherence``: one pair, one map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.inputs import area_of
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.options.models import CoherenceOptions, PairOptions

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from insar_mining.coherence.plan.model import CoherencePlan

app = parameters.new_app()


@app.command()
def coherence(
    ctx: typer.Context,
    reference: Annotated[Path, typer.Argument(help="The earlier product: SAFE folder, zip, or burst product.")],
    secondary: Annotated[Path, typer.Argument(help="The later product.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="GeoTIFF to write; its STAC item comes beside it.")],
    dem: Annotated[Path, typer.Option("--dem", help="Elevation model that covers the area.")],
    mine: Annotated[Path | None, typer.Option("--mine", help="Vector file whose polygon is the area.")] = None,
    mine_id: parameters.MineId = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bbox", help="The area as a box: west south east north, degrees.", metavar="W S E N"),
    ] = None,
    pol: parameters.Polarisation = None,
    window: parameters.Window = None,
    swath: parameters.Swaths = None,
    spacing: parameters.Spacing = None,
    orbit: parameters.Orbits = None,
    dem_heights: parameters.DemHeights = None,
    window_anchor: Annotated[
        str | None, parameters.option(CoherenceOptions, "window_anchor", "--window-anchor", metavar="WHERE")
    ] = None,
    engine: parameters.Engine = None,
    estimator: Annotated[
        str | None, parameters.option(CoherenceOptions, "estimator", "--estimator", metavar="NAME")
    ] = None,
    band: Annotated[list[str] | None, parameters.option(CoherenceOptions, "bands", "--band", metavar="NAME")] = None,
    remove_fringes: Annotated[
        bool | None, parameters.option(CoherenceOptions, "remove_fringes", "--remove-fringes")
    ] = None,
    common_band: Annotated[bool | None, parameters.option(CoherenceOptions, "common_band", "--common-band")] = None,
    refine: Annotated[str | None, parameters.option(CoherenceOptions, "refine", "--refine", metavar="HOW")] = None,
    goldstein_alpha: Annotated[
        float | None, parameters.option(CoherenceOptions, "goldstein_alpha", "--goldstein-alpha", metavar="ALPHA")
    ] = None,
    keep_topography: Annotated[
        bool, typer.Option("--keep-topography", help="Leave the topographic phase in (see remove_topography).")
    ] = False,
    threads: Annotated[int | None, parameters.option(CoherenceOptions, "threads", "--threads", metavar="N")] = None,
    snap: parameters.Snap = None,
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
) -> None:
    """Map the coherence of one pair.

    Without --mine and --bbox the area is what both products see.
    """
    from insar_mining.coherence.engine import coherence as carry_out
    from insar_mining.coherence.engine import engine_for
    from insar_mining.coherence.snap.settings import snap_options

    running = parameters.snap_of(snap)
    speech = speech_of(ctx)
    options = CoherenceOptions().replace(
        engine=engine,
        window=window,
        spacing_m=spacing,
        swaths=swath,
        orbits=orbit,
        dem_heights=dem_heights,
        window_anchor=window_anchor,
        estimator=estimator,
        bands=band,
        remove_fringes=remove_fringes,
        common_band=common_band,
        refine=refine,
        goldstein_alpha=goldstein_alpha,
        remove_topography=False if keep_topography else None,
        threads=threads,
    )
    polarisation = PairOptions().replace(polarisation=pol).polarisation
    plan = _plan(reference, secondary, area_of(mine, mine_id, bbox), dem, out, polarisation, options)
    if dry_run:
        print_record(plan.describe(), as_json=as_json)
        return
    if options.engine == "builtin" and not _compiled():
        speech.say("compiling the kernels, once on this machine: about a minute")
    with speech.progress() as show, snap_options(running):
        path = carry_out(plan, engine_for(options), progress=lambda share: show("coherence", round(100 * share), 100))
    print_record({"pair": plan.pair, "path": str(path), **_summary(path)}, as_json=as_json)


def _compiled() -> bool:
    from insar_mining.coherence.builtin.compiled import are_compiled

    return are_compiled()


def _plan(
    reference: Path,
    secondary: Path,
    area: BaseGeometry | None,
    dem: Path,
    out: Path,
    polarisation: str,
    options: CoherenceOptions,
) -> CoherencePlan:
    from insar_mining.coherence.plan.model import Window, make_plan
    from insar_mining.coherence.plan.recipe import Recipe
    from insar_mining.errors import PairError
    from insar_mining.sentinel1.product import open_product

    first, second = (open_product(path, require_manifest=False) for path in (reference, secondary))
    if area is None:
        area = first.footprint.intersection(second.footprint)
        if area.is_empty:
            raise PairError(f"{first.name} and {second.name} see no common ground; choose two scenes of one track")
    return make_plan(
        first,
        second,
        area=area,
        dem=dem,
        out=out,
        polarisation=polarisation,
        window=Window(*options.window),
        spacing_m=options.spacing_m,
        swaths=options.swaths or None,
        orbits=options.orbits,
        dem_heights=options.dem_heights,
        remove_topography=options.remove_topography,
        window_anchor=options.window_anchor,
        recipe=Recipe.of(options),
    )


def _summary(path: Path) -> dict[str, object]:
    """Share of cells with a value, and the mean over them."""
    import numpy as np
    import rasterio

    with rasterio.open(path) as source:
        values = source.read(1)
        tags = source.tags()
    finite = np.isfinite(values)
    return {
        "valid_share": round(float(finite.mean()), 4),
        "mean_coherence": round(float(values[finite].mean()), 4) if finite.any() else None,
        "perpendicular_baseline_m": float(tags["PERPENDICULAR_BASELINE_M"]),
    }
