"""``insar-mining simulate``: products of known coherence, for trying and for testing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import pydantic
import typer
from pydantic import Field

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.inputs import AreaOptions
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.errors import OptionError
from insar_mining.options.base import flag
from insar_mining.options.models import Polarisation, SwathName, Upper

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from insar_mining.sentinel1.annotation import GeolocationGrid
    from insar_mining.simulate import Terrain

app = parameters.new_app()

HALF_BOX_DEG = 0.01


class Simulated(AreaOptions):
    """Describe what is simulated."""

    coherence: str = Field("0.8", description="Temporal coherence of 12 days: a number, or a raster.")
    dates: int = Field(2, ge=1, le=500, description="Number of dates, 12 days apart.")
    baseline: tuple[float, ...] | None = Field(
        None, description="Metres that a further date's orbit lies off; once per date after the first, else 0."
    )
    terrain: str = Field("flat", description="flat, hills (900 m of relief), or an elevation model (GeoTIFF).")
    template: Path | None = Field(
        None, description="SAFE folder with the metadata to use; by default a scene in Morocco."
    )
    swaths: tuple[Annotated[SwathName, Upper], ...] = Field(
        ("IW1",), min_length=1, description="Sub-swaths to write.", json_schema_extra=flag("--swath")
    )
    polarisation: Annotated[Polarisation, Upper] = Field(
        "VV", description="Polarisation.", json_schema_extra=flag("--pol")
    )
    snr: float = Field(20.0, ge=-100, le=100, description="Signal-to-noise ratio of flat ground, dB.")
    whole: bool = Field(False, description="Write whole sub-swaths, not what sees the area.")
    zipped: bool = Field(False, description="Write zips instead of folders.", json_schema_extra=flag("--zip"))
    seed: int = Field(0, ge=0, description="Seed of the simulation.")

    @pydantic.model_validator(mode="after")
    def _one_baseline_a_date(self) -> Self:
        if self.baseline is not None and len(self.baseline) != self.dates - 1:
            raise ValueError(
                f"{len(self.baseline)} baselines are given; {self.dates} dates need {self.dates - 1}, one per further "
                "date"
            )
        return self


@app.command()
@with_options(Simulated, into="wanted")
def simulate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder for scenes/, dem.tif, truth/ and the area.")],
    wanted: Simulated,
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

    metadata = morocco_template() if wanted.template is None else load_template(wanted.template)
    annotation = metadata.annotation(wanted.swaths[0], wanted.polarisation)
    tie_points = parse_annotation(annotation, source="template").geolocation
    area = wanted.geometry() or _middle(tie_points)
    ground = _terrain(wanted.terrain, area, tie_points)
    value = _number(wanted.coherence)
    step = raster(Path(wanted.coherence), ground.epsg, background=0.0) if value is None else uniform(value)
    baselines = (0.0, *(wanted.baseline or (0.0,) * (wanted.dates - 1)))
    speech = speech_of(ctx)
    with speech.progress() as show:
        made = simulate_stack(
            out,
            [Acquisition(metadata, 12 * n, perpendicular_m=metres) for n, metres in enumerate(baselines)],
            swaths=list(wanted.swaths),
            polarisation=wanted.polarisation,
            area=area,
            terrain=ground,
            coherence=lambda index: step,
            rng=np.random.default_rng(wanted.seed),
            settings=Settings(snr_db=wanted.snr, crop=not wanted.whole, zipped=wanted.zipped),
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
