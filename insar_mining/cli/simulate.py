"""``insar-mining simulate``: products of known coherence, for trying and for testing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.inputs import area_of
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.errors import OptionError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from insar_mining.sentinel1.annotation import GeolocationGrid
    from insar_mining.simulate import Terrain

app = parameters.new_app()

HALF_BOX_DEG = 0.01


@app.command()
def simulate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder for scenes/, dem.tif, truth/ and the area.")],
    mine: Annotated[Path | None, typer.Option("--mine", help="Vector file whose polygon is the area.")] = None,
    mine_id: parameters.MineId = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bbox", help="The area as a box: west south east north, degrees.", metavar="W S E N"),
    ] = None,
    coherence: Annotated[
        str, typer.Option("--coherence", help="Temporal coherence of 12 days: a number, or a raster.")
    ] = "0.8",
    dates: Annotated[int, typer.Option("--dates", help="Number of dates, 12 days apart.", min=1, max=500)] = 2,
    baseline: Annotated[
        list[float] | None,
        typer.Option(
            "--baseline", help="Metres that a further date's orbit lies off; once per date after the first, else 0."
        ),
    ] = None,
    terrain: Annotated[
        str, typer.Option("--terrain", help="flat, hills (900 m of relief), or an elevation model (GeoTIFF).")
    ] = "flat",
    template: Annotated[
        Path | None,
        typer.Option("--template", help="SAFE folder with the metadata to use; by default a scene in Morocco."),
    ] = None,
    swath: Annotated[list[str] | None, typer.Option("--swath", help="Sub-swaths to write (default IW1).")] = None,
    pol: Annotated[str, typer.Option("--pol", help="Polarisation.")] = "VV",
    snr: Annotated[float, typer.Option("--snr", help="Signal-to-noise ratio of flat ground, dB.")] = 20.0,
    whole: Annotated[bool, typer.Option("--whole", help="Write whole sub-swaths, not what sees the area.")] = False,
    zipped: Annotated[bool, typer.Option("--zip", help="Write zips instead of folders.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulation.", min=0)] = 0,
    as_json: parameters.Json = False,
) -> None:
    """Write simulated products of known coherence under a real orbit.

    The products are complete SAFEs; beside them come the elevation model, the area, and for each
    pair of consecutive dates the true coherence on a map. No pixel is real.
    """
    import json

    import numpy as np
    from shapely.geometry import mapping

    from insar_mining.files import write_text
    from insar_mining.sentinel1.annotation import parse_annotation
    from insar_mining.simulate import (
        Acquisition,
        Settings,
        load_template,
        morocco_template,
        raster,
        simulate_stack,
        uniform,
    )

    if baseline is not None and len(baseline) != dates - 1:
        raise OptionError(f"{len(baseline)} baselines are given; {dates} dates need {dates - 1}, one per further date")
    metadata = morocco_template() if template is None else load_template(template)
    names = [name.upper() for name in swath or ["IW1"]]
    tie_points = parse_annotation(metadata.annotation(names[0], pol.upper()), source="template").geolocation
    area = area_of(mine, mine_id, bbox) or _middle(tie_points)
    ground = _terrain(terrain, area, tie_points)
    value = _number(coherence)
    step = raster(Path(coherence), ground.epsg, background=0.0) if value is None else uniform(value)
    speech = speech_of(ctx)
    with speech.progress() as show:
        made = simulate_stack(
            out,
            [
                Acquisition(metadata, 12 * n, perpendicular_m=(baseline or [])[n - 1] if n and baseline else 0.0)
                for n in range(dates)
            ],
            swaths=names,
            polarisation=pol.upper(),
            area=area,
            terrain=ground,
            coherence=lambda index: step,
            rng=np.random.default_rng(seed),
            settings=Settings(snr_db=snr, crop=not whole, zipped=zipped),
            progress=lambda done, total: show("simulation", done, total),
        )
    outline = write_text(out / "area.geojson", json.dumps(mapping(area)))
    print_record(
        {
            "products": [str(path) for path in made.products],
            "dem": str(made.dem),
            "area": str(outline),
            "truth": [str(path) for path in made.truth.values()],
        },
        as_json=as_json,
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _middle(tie_points: GeolocationGrid) -> BaseGeometry:
    """Return a box of some 2 km in the middle of a sub-swath."""
    from shapely.geometry import box

    row, column = (size // 2 for size in tie_points.longitude_deg.shape)
    lon, lat = float(tie_points.longitude_deg[row, column]), float(tie_points.latitude_deg[row, column])
    return box(lon - HALF_BOX_DEG, lat - HALF_BOX_DEG, lon + HALF_BOX_DEG, lat + HALF_BOX_DEG)


def _terrain(name: str, area: BaseGeometry, tie_points: GeolocationGrid) -> Terrain:
    """Return the ground, at the height of the nearest tie point: the footprints in the products rest on these."""
    import numpy as np

    from insar_mining.geo.grid import MapGrid
    from insar_mining.simulate import flat, hills, terrain_from_dem

    grid = MapGrid.around(area)
    centre = area.centroid
    distance = np.hypot(tie_points.longitude_deg - centre.x, tie_points.latitude_deg - centre.y)
    height = float(tie_points.height_m.flat[distance.argmin()])
    if name == "flat":
        return flat(grid.epsg, height)
    if name == "hills":
        west, south, east, north = grid.bounds
        return hills(grid.epsg, ((west + east) / 2, (south + north) / 2), base_m=height)
    if not Path(name).is_file():
        raise OptionError(f"terrain {name!r} is neither flat nor hills, and there is no such file")
    return terrain_from_dem(Path(name), grid.epsg)
