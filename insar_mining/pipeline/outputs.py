"""The files of a result: each whole or not at all."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from affine import Affine

from insar_mining import __version__
from insar_mining.activity import class_table, seasonality, to_zarr
from insar_mining.activity.analysis import Analysis
from insar_mining.activity.published.composite import CEILING
from insar_mining.activity.significant.significance import Significance
from insar_mining.activity.significant.states import State
from insar_mining.geo.raster import write_cog
from insar_mining.pipeline.stac import write_item
from insar_mining.pipeline.styles import class_colour, write_composite, write_palette, write_ramp
from insar_mining.tables import write_table as write_table

NO_VALUE = 255

# names of everything that a result's folder can hold, beside its maps: nothing else in it is ever deleted
_YEAR, _YEARS = r"\d{4}", r"\d{4}(?:_\d{4})+"
FILES = re.compile(
    rf"(?:ndai|active|duty|states)_{_YEAR}\.(?:tif|qml)|(?:rgb|classes|class_bands)_{_YEARS}\.(?:tif|qml)|"
    r"(?:stable|active_dates)\.(?:tif|qml)|"
    r"(?:activity|scenes|class_counts|class_areas|strata|adjusted|zones|zone_shares|rejected|rejections|monthly|"
    r"seasonality)\.csv|coherence\.zarr|report\.html|run\.yaml|collection\.json",
    re.ASCII,
)

# bands of active_dates.tif
DATE_BANDS = ("first_active", "last_active", "start", "stop")

PACKAGES = ("numpy", "scipy", "numba", "xarray", "rasterio", "geopandas", "pyproj", "shapely")


def write_analysis(folder: Path, analysis: Analysis, method: str) -> list[Path]:
    """Write the maps and tables of an analysis and return their paths.

    ``coherence.zarr``, ``stable.tif``, ``ndai_<year>.tif``, and for each window of three years
    ``rgb_<y1>_<y2>_<y3>.tif``, ``classes_<y1>_<y2>_<y3>.tif`` and ``class_bands_<y1>_<y2>_<y3>.tif``;
    ``class_counts.csv`` of every map of classes; ``activity.csv``; ``strata.csv`` and ``adjusted.csv`` where kinds of
    ground or a reference sample were given; ``rejected.csv``; ``rejections.csv`` where pairs were rejected. With the
    significant method also ``classes_<first>_<last>.tif`` of all years where these are two or more and not one
    window, ``active_<year>.tif``, ``duty_<year>.tif``, ``states_<year>.tif``, ``active_dates.tif``, ``monthly.csv``,
    ``seasonality.csv``, ``zones.csv``, ``zone_shares.csv`` and, where intervals were asked for, ``class_areas.csv``.
    """
    tags = {"MINE_ID": str(analysis.coh.attrs["mine_id"]), "METHOD": method, "SOFTWARE": f"insar_mining {__version__}"}
    files = [
        to_zarr(analysis.coh, folder / "coherence.zarr"),
        _write_stable(folder / "stable.tif", analysis, tags),
    ]
    for year in analysis.years:
        index = analysis.annual.sel(year=year)
        files.append(_write(folder / f"ndai_{year}.tif", index, ["ndai"], tags | {"YEAR": str(year)}))
    for window, rgb in analysis.rgb.items():
        name = "_".join(map(str, window))
        of_window = tags | {"YEARS": " ".join(map(str, window))}
        bands = [f"{colour} {year}" for colour, year in zip(("red", "green", "blue"), window, strict=True)]
        stretch = {"CEILING": f"{rgb.attrs['ceiling']:g}"}
        files.append(_write(folder / f"rgb_{name}.tif", rgb, bands, of_window | stretch))
        files.append(_write_classes(folder / f"classes_{name}.tif", analysis.classes[window], of_window))
        files.append(_write_bands(folder / f"class_bands_{name}.tif", analysis.classes[window], of_window))
    if analysis.all_years is not None:
        said = [str(year) for year in analysis.all_years.attrs["years"]]
        name = f"classes_{said[0]}_{said[-1]}.tif"
        files.append(_write_classes(folder / name, analysis.all_years, tags | {"YEARS": " ".join(said)}))
    files += _write_styles(files, analysis)
    files.append(write_table(folder / "activity.csv", analysis.activity))
    further = {
        "class_counts.csv": _class_counts(analysis),
        "strata.csv": analysis.strata,
        "adjusted.csv": analysis.adjusted,
        "class_areas.csv": analysis.class_areas,
        "zones.csv": analysis.zones,
        "zone_shares.csv": analysis.zone_shares,
        "rejected.csv": _rejected(analysis),
        "rejections.csv": analysis.stable_quality.rejection_factors,
    }
    files += [write_table(folder / name, table) for name, table in further.items() if table is not None]
    if analysis.significance is not None:
        files += _write_significance(folder, analysis, analysis.significance, tags)
    return files


def _write_styles(files: Sequence[Path], analysis: Analysis) -> list[Path]:
    """Write a QGIS style beside every map of classes, of NDAI and of stable points."""
    written = []
    maps = {"classes_" + "_".join(map(str, window)): classes for window, classes in analysis.classes.items()}
    if analysis.all_years is not None:
        years = analysis.all_years.attrs["years"]
        maps[f"classes_{years[0]}_{years[-1]}"] = analysis.all_years
    for file in files:
        if file.stem in maps:
            attrs = maps[file.stem].attrs
            values = [int(value) for value in attrs["flag_values"]]
            names = str(attrs["flag_meanings"]).split()
            colours = [class_colour(value, len(values)) for value in values]
            entries = dict(zip(values, zip(names, colours, strict=True), strict=True))
            written.append(write_palette(file, entries))
        elif file.stem == "stable":
            written.append(write_palette(file, {0: ("other ground", (200, 200, 200)), 1: ("stable", (0, 114, 178))}))
        elif file.stem.startswith("ndai_"):
            written.append(write_ramp(file, 0.0, CEILING))
        elif file.stem.startswith("rgb_"):
            written.append(write_composite(file, 0.0, 1.0))  # its bands are shares of the ceiling
    return written


def _write_significance(folder: Path, analysis: Analysis, found: Significance, tags: Mapping[str, str]) -> list[Path]:
    """Write the maps of every year and of dates, and the tables of months and seasons."""
    files = []
    for year, reference in found.references.items():
        of_year = dict(tags) | {
            "YEAR": str(year),
            "LOOKS": f"{reference.looks:.2f}",
            "FALSE_DISCOVERY_RATE": f"{reference.false_discovery_rate:g}",
            "MIN_LOSS": f"{reference.min_loss:g}",
        }
        active = found.active.sel(year=year)
        files.append(_write(folder / f"active_{year}.tif", active, ["active"], of_year, NO_VALUE))
        files.append(write_palette(files[-1], {0: ("not active", (200, 200, 200)), 1: ("active", (213, 94, 0))}))
        legend = {f"STATE_{state.value}": state.name.lower() for state in State if state != State.OUTSIDE}
        states = found.states.sel(year=year)
        files.append(_write(folder / f"states_{year}.tif", states, ["state"], of_year | legend, NO_VALUE))
        if analysis.timeline is not None:
            duty = analysis.timeline.duty.sel(year=year)
            files.append(_write(folder / f"duty_{year}.tif", duty, ["share of pairs"], of_year))
            files.append(write_ramp(files[-1], 0.0, 1.0))
    if analysis.timeline is not None:
        dates = [getattr(analysis.timeline, name) for name in DATE_BANDS]
        values = np.stack([_yyyymmdd(date.values) for date in dates])
        template = xr.DataArray(values, dims=("band", "y", "x"), attrs=dates[0].attrs)
        said = dict(tags) | {"DATES": "yyyymmdd; 0 where never"}
        files.append(_write(folder / "active_dates.tif", template, list(DATE_BANDS), said, 0))
        known = values[0][values[0] > 0]  # the style shows the first band: days of first activity
        if known.size:
            files.append(write_ramp(files[-1], float(known.min()), float(known.max())))
        files.append(write_table(folder / "monthly.csv", analysis.timeline.monthly))
        files.append(write_table(folder / "seasonality.csv", pd.DataFrame([seasonality(analysis.timeline.monthly)])))
    return files


def _yyyymmdd(dates: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int32]:
    """Return the dates as whole numbers; 0 for none."""
    days = dates.astype("datetime64[D]")
    month = days.astype("datetime64[M]")
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    number = year * 10_000 + (month.astype(np.int64) % 12 + 1) * 100 + (days - month).astype(np.int64) + 1
    return np.where(np.isnat(days), 0, number).astype(np.int32)


def write_pair_maps(folder: Path, coh: xr.DataArray) -> list[Path]:
    """Write the pairs of a cube as one GeoTIFF each, with a STAC item beside it; return the GeoTIFFs.

    For maps that were made elsewhere: cropped to the mine, NaN outside, dates in the tags.
    """
    written = []
    for number in range(coh.sizes["pair"]):
        layer = coh.isel(pair=number)
        dates = {
            name.upper(): str(layer[name].values.astype("datetime64[D]"))
            for name in ("reference_date", "secondary_date")
        }
        baseline = float(layer["perpendicular_baseline_m"])
        known = {"PERPENDICULAR_BASELINE_M": f"{baseline:.3f}"} if np.isfinite(baseline) else {}
        tags = dates | known | {"SOURCE": str(layer["source"].values), "ORIGIN": str(coh.attrs["origin"])}
        path = _write(folder / f"{layer['pair'].values}.tif", layer, ["coherence"], tags)
        write_item(path.with_suffix(".json"), layer, path)
        written.append(path)
    return written


def _write_stable(path: Path, analysis: Analysis, tags: Mapping[str, str]) -> Path:
    stable = analysis.stable
    values = stable.values.astype(np.uint8)
    if "cover" in stable.coords:
        # ground around the mine is shown only where it is a stable point
        values[(stable["cover"].values < stable.attrs["min_cover"]) & (values == 0)] = NO_VALUE
    limits = {name.upper(): str(stable.attrs[name]) for name in ("mean_min", "std_max", "n_stable")}
    return _write(path, stable.copy(data=values), ["stable"], dict(tags) | limits, NO_VALUE)


def _write_classes(path: Path, classes: xr.DataArray, tags: Mapping[str, str]) -> Path:
    names = str(classes.attrs["flag_meanings"]).split()
    legend = {f"CLASS_{value}": name for value, name in zip(classes.attrs["flag_values"], names, strict=True)}
    known = [name for name in ("black_below", "white_saturation") if name in classes.attrs]
    limits = {name.upper(): f"{classes.attrs[name]:.6g}" for name in known}
    return _write(path, classes, ["class"], dict(tags) | legend | limits, float(classes.attrs["nodata"]))


def _write_bands(path: Path, classes: xr.DataArray, tags: Mapping[str, str]) -> Path:
    """Write every class as a band of its own: 1 of the class, 0 of another, 255 without one."""
    names = str(classes.attrs["flag_meanings"]).split()
    bands = np.stack([classes.values == value for value in classes.attrs["flag_values"]]).view(np.uint8)
    bands[:, classes.values == classes.attrs["nodata"]] = NO_VALUE
    return _write(path, xr.DataArray(bands, dims=("band", "y", "x"), attrs=classes.attrs), names, tags, NO_VALUE)


def _class_counts(analysis: Analysis) -> pd.DataFrame | None:
    """Return the pixels and areas of the classes of every map of classes; None without any."""
    maps = [*analysis.classes.values(), *(() if analysis.all_years is None else (analysis.all_years,))]
    return pd.concat([class_table(classes) for classes in maps], ignore_index=True) if maps else None


def _rejected(analysis: Analysis) -> pd.DataFrame | None:
    """Return the numbers of every rejected pair: span, baseline, loss, and what is unusual; no row without any."""
    if analysis.explained is None:
        return None
    return analysis.explained[~analysis.explained["kept"].astype(bool)]


def _write(
    path: Path, raster: xr.DataArray, names: Sequence[str], tags: Mapping[str, str], nodata: float | None = None
) -> Path:
    """Write (y, x) or (band, y, x) with attributes ``crs`` and ``transform``."""
    values = raster.transpose(..., "y", "x").values
    return write_cog(
        path,
        values,
        crs=str(raster.attrs["crs"]),
        transform=Affine(*raster.attrs["transform"][:6]),
        names=names,
        nodata=nodata,
        tags=tags,
        overviews="average" if values.dtype.kind == "f" else "mode",
    )


def software_versions() -> dict[str, str]:
    """Return the versions of the package, of Python and of what the numbers depend on."""
    return {
        "insar_mining": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
