"""Elevation models and stacks of coherence maps, damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from insar_mining.activity import from_zarr, open_stack, to_zarr
from insar_mining.geo.elevation import read_dem
from tests.fuzz import mutations as m
from tests.fuzz.arena import Kind, require

AREA = (-8.79, 31.79, -8.77, 31.81)
SIZE = 40
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16}


def written(
    path: Path, values: np.ndarray[Any, Any], crs: str, corner: tuple[float, float], step: float, **how: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = how.pop("tags", {})
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "crs": crs, **how}
    height, width = values.shape
    with rasterio.open(
        path, "w", width=width, height=height, transform=from_origin(*corner, step, step), **profile
    ) as target:
        target.write(values, 1)
        target.update_tags(**tags)


# -- elevation models --------------------------------------------------------------------


def make_models(folder: Path) -> None:
    heights = np.add.outer(np.arange(SIZE) * 3.0, np.arange(SIZE) * 2.0).astype(np.float32) + 500
    corner, step = (AREA[0] - 0.01, AREA[3] + 0.01), 0.001
    written(folder / "lonlat" / "dem.tif", heights, "EPSG:4326", corner, step, nodata=-9999.0)
    written(
        folder / "utm" / "dem.tif",
        heights,
        "EPSG:32629",
        (518_000, 3_521_500),
        120,
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    written(
        folder / "packed" / "dem.tif",
        heights.astype(np.int16),
        "EPSG:4326",
        corner,
        step,
        compress="deflate",
        predictor=2,
    )
    written(folder / "ascii" / "dem.asc", heights, "EPSG:4326", corner, step, driver="AAIGrid")
    written(folder / "imagine" / "dem.img", heights, "EPSG:4326", corner, step, driver="HFA")
    written(folder / "mosaic" / "tile.tif", heights, "EPSG:4326", corner, step)
    (folder / "mosaic" / "dem.vrt").write_text(
        f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><SRS>EPSG:4326</SRS>'
        f"<GeoTransform>{corner[0]},{step},0,{corner[1]},0,{-step}</GeoTransform>"
        '<VRTRasterBand dataType="Float32" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>'
        '<SourceFilename relativeToVRT="1">tile.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


def damage_model(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    text = m.either(m.damaged_text, m.damaged_bytes)
    damages = {".tif": m.damaged_tiff, ".vrt": m.either(m.damaged_xml, m.damaged_text), ".asc": text, ".prj": text}
    return damages.get(Path(name).suffix, m.damaged_bytes)(data, rng)


def use_model(folder: Path) -> Any:
    (path,) = (p for p in folder.glob("dem.*") if p.suffix in (".tif", ".vrt", ".asc", ".img"))
    dem = read_dem(path, AREA)
    finite = dem.height_m[np.isfinite(dem.height_m)]
    require(finite.size and finite.min() >= -700 and finite.max() <= 9200, "heights")
    require(dem.step_lon_deg > 0 and dem.step_lat_deg > 0, f"steps {dem.step_lon_deg} {dem.step_lat_deg}")
    west, south, east, north = dem.bounds
    require(west <= AREA[2] and east >= AREA[0] and south <= AREA[3] and north >= AREA[1], f"bounds {dem.bounds}")
    require(dem.height_m.size < 4e8, f"{dem.height_m.size} posts")
    return dem.height_m, dem.bounds, dem.reference


# -- stacks ------------------------------------------------------------------------------

DAYS = ("20210105_20210117", "20210117_20210129", "20210129_20210210")


def coherence(seed: int, shape: tuple[int, int] = (24, 32)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(0.05, 0.98, shape).astype(np.float32)


def make_stacks(folder: Path) -> None:
    corner = (520_000.0, 3_520_000.0)
    for number, days in enumerate(DAYS):
        tags = {"REFERENCE_DATE": days[:8], "SECONDARY_DATE": days[9:], "PLAN_SHA256": "0" * 64, "ENGINE": "builtin"}
        values = coherence(number)
        written(folder / "plain" / "maps" / f"{days}.tif", values, "EPSG:32629", corner, 20.0)
        written(
            folder / "own" / "maps" / f"{days}.tif",
            values,
            "EPSG:32629",
            corner,
            20.0,
            tags=tags,
            compress="deflate",
            **TILED,
        )
        scaled = (values * 255).round().astype(np.uint8)
        written(folder / "bytes" / "maps" / f"{days}.geo.cc.tif", scaled, "EPSG:4326", (-8.79, 31.81), 0.001, nodata=0)
        written(folder / "raw" / "maps" / f"{days}.coh", values, "EPSG:32629", corner, 20.0, driver="ENVI")
        item = {"type": "Feature", "properties": {"insar_mining:reference_date": days[:8], "start_datetime": None}}
        (folder / "plain" / "maps" / f"{days}.json").write_text(json.dumps(item), encoding="utf-8")
    cube = np.stack([coherence(number) for number in range(3)])
    y, x = 3_519_990.0 - 20.0 * np.arange(24), 520_010.0 + 20.0 * np.arange(32)
    data = xr.Dataset(
        {
            "coherence": (("pair", "y", "x"), cube, {"grid_mapping": "spatial_ref"}),
            "reference_date": ("pair", np.array([f"{d[:4]}-{d[4:6]}-{d[6:8]}" for d in DAYS], "datetime64[ns]")),
            "secondary_date": ("pair", np.array([f"{d[9:13]}-{d[13:15]}-{d[15:]}" for d in DAYS], "datetime64[ns]")),
        },
        coords={"y": y, "x": x, "spatial_ref": 0},
    )
    data["spatial_ref"].attrs["crs_wkt"] = rasterio.crs.CRS.from_epsg(32629).to_wkt()
    for name, engine in (("netcdf", "h5netcdf"), ("classic", "scipy")):
        (folder / name / "maps").mkdir(parents=True)
        data.to_netcdf(folder / name / "maps" / "stack.nc", engine=engine)
    opened = open_stack(folder / "own" / "maps")
    to_zarr(opened, folder / "store" / "coherence.zarr")
    for variant in ("netcdf", "classic"):
        try:
            open_stack(folder / variant / "maps")
        except Exception:
            shutil.rmtree(folder / variant)


def damage_stack(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    suffix = Path(name).suffix
    if suffix == ".json" or Path(name).name in (".zattrs", ".zarray", ".zmetadata", ".zgroup"):
        return m.either(m.damaged_json, m.damaged_text, m.damaged_bytes)(data, rng)
    return {".tif": m.damaged_tiff, ".hdr": m.damaged_text}.get(suffix, m.damaged_bytes)(data, rng)


def use_stack(folder: Path) -> Any:
    store = folder / "coherence.zarr"
    cube = from_zarr(store) if store.is_dir() else open_stack(folder / "maps")
    values = np.asarray(cube.values)
    finite = values[np.isfinite(values)]
    require(cube.dims == ("pair", "y", "x") and values.dtype == np.float32, f"{cube.dims} {values.dtype}")
    require(finite.size == 0 or (finite.min() >= 0 and finite.max() <= 1), "coherence outside 0..1")
    first, last = cube["reference_date"].values, cube["secondary_date"].values
    require((first < last).all(), f"dates {first} {last}")
    require(len(set(cube["pair"].values.tolist())) == cube.sizes["pair"], "a pair twice")
    area = np.asarray(cube["cell_area_m2"].values)
    require(np.isfinite(area).all() and (area > 0).all(), f"cell area {area}")
    require(np.isfinite(np.asarray(cube.attrs["transform"][:6])).all(), "transform")
    return values, first, last, area, list(cube.attrs["transform"][:6]), str(cube.attrs["crs"])


MODELS = Kind("elevation models", 2000, make_models, damage_model, use_model)
STACKS = Kind("stacks", 1500, make_stacks, damage_stack, use_stack)
