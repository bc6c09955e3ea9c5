"""Write the product of every engine: one map of coherence and its STAC item."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np
import numpy.typing as npt
from shapely.geometry import box, mapping

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.plan.recipe import ADAPTIVE_WINDOW, DESCRIPTIONS, Recipe
from insar_mining.files import sha256, write_text
from insar_mining.geo.raster import write_cog

Layers = Mapping[str, npt.NDArray[np.float32]]
"""Bands by name, each on a plan's grid."""

STAC_VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v1.2.0/schema.json"
SAR = "https://stac-extensions.github.io/sar/v1.0.0/schema.json"
SATELLITE = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
SHA256_MULTIHASH = "1220"  # prefix of a 32-byte SHA-256 (https://multiformats.io/multihash)
C_BAND_GHZ = 5.405


def write_product(
    plan: CoherencePlan, layers: Layers, engine: str, version: str | None = None, notes: Mapping[str, str] | None = None
) -> Path:
    """Write the map and, once it is complete, its STAC item beside it.

    Parameters
    ----------
    layers : mapping of str to ndarray of float32, shape of the plan's grid
        ``coherence`` (0..1, NaN where there is none) and the bands of the plan's recipe.
    engine : str
        Name of the engine that made it.
    version : str, optional
        Of what the engine runs, where that is not this package.
    notes : mapping, optional
        What the engine found on its way, as further tags.

    Returns
    -------
    Path
        The GeoTIFF, ``plan.out``.

    Raises
    ------
    OutputError
    """
    names = ["coherence", *plan.recipe.bands]
    found = tags(plan, engine, version) | dict(notes or {})
    path = write_cog(
        plan.out,
        [layers[name] for name in names],
        crs=plan.grid.crs,
        transform=plan.grid.transform,
        names=names,
        tags=found,
    )
    item = stac_item(plan, path, found)
    write_text(path.with_suffix(".json"), json.dumps(item, indent=2, ensure_ascii=False) + "\n")
    return path


def tags(plan: CoherencePlan, engine: str, version: str | None = None) -> dict[str, str]:
    """Return the metadata of a map for its GeoTIFF tags."""
    scenes, elevation = plan.scenes, plan.elevation
    return {
        "REFERENCE_DATE": scenes.reference.day,
        "SECONDARY_DATE": scenes.secondary.day,
        "REFERENCE_SCENE": scenes.reference.scene,
        "SECONDARY_SCENE": scenes.secondary.scene,
        "STACK_REFERENCE": scenes.stack_reference.scene,
        "PLATFORMS": f"{scenes.reference.platform} {scenes.secondary.platform}",
        "RELATIVE_ORBIT": "unknown" if scenes.relative_orbit is None else str(scenes.relative_orbit),
        "DIRECTION": scenes.direction,
        "POLARISATION": plan.polarisation,
        "BURSTS": " ".join(f"{b.swath}:{b.reference_index + 1}/{b.secondary_index + 1}" for b in plan.bursts),
        "PERPENDICULAR_BASELINE_M": f"{plan.perpendicular_baseline_m:.3f}",
        "WINDOW": _window(plan),
        "WINDOW_ANCHOR": plan.estimation.window_anchor,
        "ESTIMATOR": _estimator(plan.recipe),
        "PHASES_REMOVED": " ".join(_phases(plan)) or "none",
        "REFERENCE_ORBIT": _orbit(scenes.reference.orbit),
        "SECONDARY_ORBIT": _orbit(scenes.secondary.orbit),
        "DEM": " ".join(Path(part).name for part in str(elevation.path).split(os.pathsep)),
        **({"DEM_HEIGHTS": elevation.reference} if elevation.reference else {}),
        "DEM_IDENTITY": elevation.identity,
        "SPACING_M": f"{plan.grid.spacing_m:g}",
        "ENGINE": engine,
        **({} if version is None else {"ENGINE_VERSION": version}),
        "SOFTWARE": f"insar_mining {version_of('insar_mining')}",
        "PLAN_SHA256": plan.sha256,
    }


def stac_item(plan: CoherencePlan, path: Path, found: Mapping[str, str]) -> dict[str, object]:
    """Describe a map and its tags as a STAC 1.0 item (https://stacspec.org)."""
    footprint = box(*plan.grid.bounds_lonlat())
    scenes = plan.scenes
    start, stop = (date.start or f"{date.day}T00:00:00Z" for date in (scenes.reference, scenes.secondary))
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION, SAR, SATELLITE, FILE],
        "id": f"{plan.pair}_{plan.polarisation.lower()}",
        "geometry": mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": {
            "datetime": None,
            "start_datetime": start,
            "end_datetime": stop,
            "platform": scenes.reference.platform.lower().replace("s1", "sentinel-1"),
            "constellation": "sentinel-1",
            "instruments": ["c-sar"],
            "sar:instrument_mode": "IW",
            "sar:frequency_band": "C",
            "sar:center_frequency": C_BAND_GHZ,
            "sar:polarizations": [plan.polarisation],
            "sar:product_type": "COHERENCE",
            "sat:orbit_state": scenes.direction,
            **({} if scenes.relative_orbit is None else {"sat:relative_orbit": scenes.relative_orbit}),
            "proj:epsg": plan.grid.epsg,
            "proj:code": f"EPSG:{plan.grid.epsg}",
            "proj:shape": list(plan.grid.shape),
            "proj:transform": list(plan.grid.transform)[:6],
            **{f"insar_mining:{name.lower()}": value for name, value in found.items()},
        },
        "links": [],
        "assets": {
            "coherence": {
                "href": f"./{path.name}",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "title": f"Coherence {scenes.reference.day} to {scenes.secondary.day}",
                "roles": ["data"],
                "bands": [
                    {"name": name, "description": DESCRIPTIONS[name][1], "unit": DESCRIPTIONS[name][0]}
                    for name in ("coherence", *plan.recipe.bands)
                ],
                "file:size": path.stat().st_size,
                "file:checksum": SHA256_MULTIHASH + sha256(path),
            }
        },
    }


def _window(plan: CoherencePlan) -> str:
    return str(plan.window) if plan.recipe.estimator == "boxcar" else f"at most {ADAPTIVE_WINDOW}"


def _estimator(recipe: Recipe) -> str:
    added = {"fringes removed": recipe.remove_fringes, "common band": recipe.common_band}
    return ", ".join([recipe.estimator, *(name for name, is_on in added.items() if is_on)])


def _phases(plan: CoherencePlan) -> list[str]:
    return ["flat-earth"] * plan.estimation.remove_flat_earth + ["topographic"] * plan.estimation.remove_topography


def _orbit(path: Path | None) -> str:
    return "annotation" if path is None else path.name
