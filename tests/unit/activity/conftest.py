"""Cubes of known truth, and rasters written as others write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import xarray as xr
from affine import Affine

MEXICO = Path(__file__).parents[2] / "data" / "mexico_city"


@pytest.fixture(scope="session")
def mexico() -> Path:
    return MEXICO


@pytest.fixture(scope="session")
def mexico_values() -> npt.NDArray[np.float64]:
    """The thirty rasters as numpy reads them, zeros as NaN, in order of dates."""
    layers = []
    for path in sorted(MEXICO.glob("*_cc.tif")):
        with rasterio.open(path) as source:
            layers.append(source.read(1).astype(np.float64))
    values = np.stack(layers)
    values[values == 0] = np.nan
    return values


def sample_coherence(
    true: npt.NDArray[np.float64], looks: int, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Coherence estimated from `looks` pairs of circular Gaussian samples of a true coherence."""
    shape = (*true.shape, looks)
    first = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    other = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    second = true[..., None] * first + np.sqrt(1 - true[..., None] ** 2) * other
    cross = np.abs((first * second.conj()).sum(-1))
    return np.asarray(cross / np.sqrt((abs(first) ** 2).sum(-1) * (abs(second) ** 2).sum(-1)), np.float32)


@pytest.fixture(scope="session")
def sampled() -> Callable[..., npt.NDArray[np.float32]]:
    return sample_coherence


def make_cube(
    values: npt.ArrayLike,
    *,
    start: str = "2021-01-04",
    step_days: int = 12,
    cell_m: float = 20.0,
    cover: npt.ArrayLike | None = None,
    min_cover: float = 0.5,
) -> xr.DataArray:
    """A cube as open_stack returns it, in memory, in UTM, of consecutive pairs."""
    data = np.asarray(values, np.float32)
    pairs, height, width = data.shape
    step = np.timedelta64(step_days, "D")
    reference = np.datetime64(start, "D") + step * np.arange(pairs)
    secondary = reference + step
    middle = reference.astype("datetime64[h]") + (secondary - reference).astype("timedelta64[h]") // 2
    names = [f"{a}_{b}".replace("-", "") for a, b in zip(reference, secondary, strict=True)]
    coords = {
        "pair": names,
        "reference_date": ("pair", reference.astype("datetime64[ns]")),
        "secondary_date": ("pair", secondary.astype("datetime64[ns]")),
        "days": ("pair", np.full(pairs, step_days)),
        "year": ("pair", middle.astype("datetime64[Y]").astype(int) + 1970),
        "y": 3_500_000 - (np.arange(height) + 0.5) * cell_m,
        "x": 600_000 + (np.arange(width) + 0.5) * cell_m,
        "cell_area_m2": cell_m**2,
    }
    attrs = {
        "crs": "EPSG:32629",
        "transform": (cell_m, 0.0, 600_000.0, 0.0, -cell_m, 3_500_000.0),
        "cell_area_m2": cell_m**2,
    }
    if cover is not None:
        coords["cover"] = (("y", "x"), np.asarray(cover, np.float32))
        attrs["min_cover"] = min_cover
    return xr.DataArray(data, dims=("pair", "y", "x"), coords=coords, attrs=attrs, name="coherence")


@pytest.fixture(scope="session")
def cube_of() -> Callable[..., xr.DataArray]:
    return make_cube


def write_raster(
    path: Path,
    values: npt.ArrayLike,
    *,
    crs: str | None = "EPSG:32629",
    transform: Affine = Affine(20, 0, 600_000, 0, -20, 3_500_000),  # noqa: B008 - an immutable value
    tags: Mapping[str, str] | None = None,
    **profile: object,
) -> Path:
    data = np.asarray(values)
    data = data[None] if data.ndim == 2 else data
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "GTiff", "count": data.shape[0], "height": data.shape[1], "width": data.shape[2]}
    options |= {"dtype": data.dtype, "crs": crs, "transform": transform, **profile}
    with rasterio.open(path, "w", **options) as target:
        target.write(data)
        target.update_tags(**(tags or {}))
    return path


@pytest.fixture(scope="session")
def raster() -> Callable[..., Path]:
    return write_raster


OWN = {"ENGINE": "builtin", "PLAN_SHA256": "0" * 64, "WINDOW": "2x7", "RELATIVE_ORBIT": "52"}


@pytest.fixture(scope="session")
def own_tags() -> dict[str, str]:
    """Tags as this package's engines write them."""
    return dict(OWN)
