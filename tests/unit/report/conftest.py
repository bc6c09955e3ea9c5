"""A small synthetic mine with every piece that a report can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pyproj import Transformer
from shapely import transform
from shapely.geometry import Polygon

from insar_mining.activity.analysis import Analysis, Comparison, StableQuality
from insar_mining.activity.timeline import Timeline
from insar_mining.geo.mines import Mine
from insar_mining.options.models import ActivityOptions
from insar_mining.report import ReportContent
from insar_mining.report.images import Picture

EPSG = 32629
WEST, NORTH = 700_000.0, 3_520_000.0
NAMES = ("black", "red", "green", "blue", "yellow", "cyan", "magenta", "white")
MEMBERS = ((), (0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2))


def _mine(name: str, width_m: float, height_m: float) -> Mine:
    corners = np.array([(0.1, 0.12), (0.92, 0.08), (0.95, 0.8), (0.6, 0.93), (0.12, 0.85)])
    ring = np.column_stack([WEST + corners[:, 0] * width_m, NORTH - (1 - corners[:, 1]) * height_m])
    hole = np.array([(0.75, 0.2), (0.85, 0.2), (0.8, 0.3)])
    inner = np.column_stack([WEST + hole[:, 0] * width_m, NORTH - (1 - hole[:, 1]) * height_m])
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    area = transform(Polygon(ring, [inner]), lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1])))
    return Mine("m-1", name, area)


def _raster(values: np.ndarray, spacing: float, **coords: Any) -> xr.DataArray:
    height, width = values.shape[-2:]
    leading = tuple(coords)
    return xr.DataArray(
        values,
        dims=(*leading, "y", "x"),
        coords={
            **coords,
            "y": NORTH - (np.arange(height) + 0.5) * spacing,
            "x": WEST + (np.arange(width) + 0.5) * spacing,
        },
        attrs={"crs": f"EPSG:{EPSG}", "transform": (spacing, 0.0, WEST, 0.0, -spacing, NORTH)},
    )


def _discs(shape: tuple[int, int], n_years: int) -> np.ndarray:
    """Where each year is active: overlapping discs that walk across the mine, (year, y, x)."""
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    fixed = np.hypot(x - 0.3, y - 0.65) < 0.08
    centres = [(0.42 + 0.1 * year, 0.42 + 0.04 * (year % 2)) for year in range(n_years)]
    return np.stack([(np.hypot(x - cx, y - cy) < 0.13) | fixed for cx, cy in centres])


def _scenes(years: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    dates = np.concatenate([np.datetime64(f"{year}-01-05") + 24 * np.arange(13) for year in years]).astype(
        "datetime64[D]"
    )
    pairs = [f"{a:%Y%m%d}_{b:%Y%m%d}" for a, b in zip(dates[:-1].tolist(), dates[1:].tolist(), strict=True)]
    mean = rng.normal(0.9, 0.012, len(pairs))
    sd = rng.normal(0.06, 0.01, len(pairs))
    snowy = np.arange(len(pairs)) % 13 == 1
    mean[snowy] -= 0.25
    sd[snowy] += 0.17
    reason = [
        f"mean {m:.2f} < 0.8, standard deviation {s:.2f} > 0.2" if snow else None
        for m, s, snow in zip(mean, sd, snowy, strict=True)
    ]
    return pd.DataFrame(
        {"pair": pairs, "kept": ~snowy, "reason": reason, "stable_mean": mean, "stable_sd": sd, "n_stable": 412}
    )


def _pairs(scenes: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    split = scenes["pair"].str.split("_", expand=True)
    first, second = pd.to_datetime(split[0]), pd.to_datetime(split[1])
    return pd.DataFrame(
        {
            "pair": scenes["pair"],
            "reference_date": first,
            "secondary_date": second,
            "days": (second - first).dt.days,
            "perpendicular_baseline_m": rng.normal(0, 80, len(scenes)).clip(-249, 249),
        }
    )


def build(
    *,
    shape: tuple[int, int] = (48, 60),
    years: tuple[int, ...] = (2021, 2022, 2023),
    name: str = "Synthetic pit",
    method: str = "published",
    spacing: float = 20.0,
    seed: int = 7,
    **changes: Any,
) -> ReportContent:
    """Return the content of a report of a synthetic mine; `changes` replace parts of it."""
    rng = np.random.default_rng(seed)
    height, width = shape
    mine = _mine(name, width * spacing, height * spacing)
    active = _discs(shape, len(years))
    scenes = _scenes(years, rng)
    middle_year = np.array([int(pair[:4]) for pair in scenes["pair"]])
    base = np.where(active[np.searchsorted(years, middle_year)], 0.35, 0.88).astype(np.float32)
    coh = np.clip(base + rng.normal(0, 0.08, base.shape).astype(np.float32), 0, 1)
    coh[:, :3, :3] = np.nan
    ndai = np.where(active, 0.38, 0.03) + rng.normal(0, 0.04, active.shape)
    ndai[:, :3, :3] = np.nan
    three = len(years) == 3
    label = sum(active[k].astype(int) << k for k in range(len(years)))
    codes = {sum(1 << k for k in member): value for value, member in enumerate(MEMBERS)}
    classes = np.vectorize(lambda code: codes.get(code, 0))(label).astype(np.uint8)
    classes[:3, :3] = 255
    cell = spacing**2
    counts = active.sum(axis=(1, 2))
    activity = pd.DataFrame(
        {
            "mine_id": mine.id,
            "year": years,
            "method": method,
            "n_pairs": [int((middle_year == year).sum()) for year in years],
            "n_pixels": height * width - 9,
            "active_pixels": counts,
            "area_m2": counts * cell * 1.0,
            "area_low_m2": counts * cell * 0.94,
            "area_high_m2": counts * cell * 1.07,
            "area_nominal_m2": counts * 100.0,
        }
    )
    stable = ~active.any(axis=0) & (rng.random(shape) < 0.12)
    parts: dict[str, Any] = {
        "mine": mine,
        "period": (f"{years[0]}-01-01", f"{years[-1]}-12-31"),
        "method": method,
        "coh": _raster(coh, spacing, pair=scenes["pair"].to_numpy(dtype=str)).assign_attrs(cell_area_m2=cell),
        "stable": _raster(stable, spacing),
        "scenes": scenes,
        "pairs": _pairs(scenes, rng),
        "annual": _raster(ndai, spacing, year=list(years)),
        "activity": activity,
        "run": {
            "options": {"method": method, "window": "2x7", "spacing_m": spacing},
            "versions": {"insar_mining": "0.1.0", "numpy": np.__version__},
            "engine": "builtin",
            "inputs": ["scene-1", "scene-2"],
        },
        "rejected_pairs": [{"pair": "20210410_20210504", "reason": "|B| = 312 m exceeds 250 m"}],
        "notes": ["The winter of 2022 has few images."],
        "skipped": [{"what": "dem.tif", "reason": "has no two dates in its name"}],
    }
    if three:
        rgb = np.moveaxis(np.clip(np.moveaxis(ndai, 0, -1) / 0.45, 0, 1), -1, 0)
        parts["rgb"] = _raster(rgb, spacing, band=["red", "green", "blue"]).assign_attrs(years=list(years))
        parts["classes"] = _raster(classes, spacing).assign_attrs(
            flag_values=list(range(8)), flag_meanings=" ".join(NAMES), years=list(years)
        )
    return assemble(**{**parts, **changes})


QUALITY = tuple(field.name for field in fields(StableQuality) if field.name != "notes")


def assemble(**parts: Any) -> ReportContent:
    """Put an analysis and a report's content together from single parts, by the names of this file."""
    coh, pairs = parts["coh"], parts.get("pairs")
    if pairs is not None:
        names = ("reference_date", "secondary_date", "days", "perpendicular_baseline_m")
        coh = coh.assign_coords({name: ("pair", np.asarray(pairs[name])) for name in names if name in pairs})
    years = [int(year) for year in parts["annual"]["year"].values]
    window = (years[-3], years[-2], years[-1]) if len(years) >= 3 else None
    areas = parts.get("class_areas")
    if areas is not None and window is not None:
        areas = areas.assign(years="_".join(map(str, window)))
    analysis = Analysis(
        coh=coh,
        stable=parts["stable"],
        scenes=parts["scenes"],
        annual=parts["annual"],
        rgb={window: parts["rgb"]} if window and parts.get("rgb") is not None else {},
        classes={window: parts["classes"]} if window and parts.get("classes") is not None else {},
        activity=parts["activity"],
        timeline=parts.get("timeline"),
        strata=parts.get("strata"),
        adjusted=parts.get("adjusted"),
        class_areas=areas,
        zones=parts.get("zones"),
        stable_quality=StableQuality(**{name: parts[name] for name in QUALITY if name in parts}),
        notes=tuple(parts.get("notes", ())),
    )
    return ReportContent(
        mine=parts["mine"],
        period=parts["period"],
        analysis=analysis,
        options=ActivityOptions(method=parts["method"]),
        run=parts["run"],
        max_perp_baseline_m=parts.get("max_perp_baseline_m", 250.0),
        rejected_pairs=parts.get("rejected_pairs", ()),
        skipped=parts.get("skipped", ()),
        comparison=parts.get("comparison"),
    )


def with_parts(content: ReportContent, **changes: Any) -> ReportContent:
    """Return a report's content with some parts replaced."""
    analysis = content.analysis
    parts: dict[str, Any] = {field.name: getattr(analysis, field.name) for field in fields(analysis)}
    parts |= {field.name: getattr(content, field.name) for field in fields(content) if field.init}
    parts |= {name: getattr(analysis.stable_quality, name) for name in QUALITY}
    parts |= {"rgb": content.rgb, "classes": content.classes, "method": content.options.method}
    return assemble(**{**parts, **changes})


def counted(content: ReportContent, **changes: Any) -> ReportContent:
    """Return the content with a time line: duty as annual NDAI, two months, and no dates unless they are given."""
    annual = content.analysis.annual
    none = content.analysis.stable.astype("datetime64[ns]").copy(
        data=np.full(content.analysis.stable.shape, np.datetime64("NaT", "ns"))
    )
    timeline = Timeline(
        duty=annual.copy(data=np.clip(annual.values, 0, 1)),
        first_active=changes.pop("first_active", none),
        last_active=changes.pop("last_active", none),
        start=none,
        stop=none,
        pairs=pd.DataFrame(),
        monthly=pd.DataFrame({"year": [2021, 2021], "month": [1, 2], "area_m2": [2e5, 7e5], "n_pairs": [2, 1]}),
    )
    return with_parts(content, timeline=timeline, **changes)


def with_truth(content: ReportContent, seed: int = 3) -> dict[str, Any]:
    """Return the parts of a report that compare with a truth: the active discs, grown by one cell in the truth."""
    rng = np.random.default_rng(seed)
    years = content.years
    active = _discs((content.analysis.coh.sizes["y"], content.analysis.coh.sizes["x"]), len(years))
    found = active ^ (rng.random(active.shape) < 0.01)
    truth = active | np.roll(active, 1, axis=2)
    spacing = abs(content.analysis.coh.attrs["transform"][0])
    table = pd.DataFrame(
        {
            "year": years,
            "truth_area_m2": truth.sum(axis=(1, 2)) * spacing**2,
            "found_area_m2": found.sum(axis=(1, 2)) * spacing**2,
            "difference": 0.0,
        }
    )
    return {"comparison": Comparison(table, _raster(found, spacing, year=years), _raster(truth, spacing, year=years))}


@pytest.fixture
def make_content() -> Callable[..., ReportContent]:
    """Return the factory of synthetic reports."""
    return build


@pytest.fixture
def make_truth() -> Callable[..., dict[str, Any]]:
    """Return the factory of the parts with the truth."""
    return with_truth


@pytest.fixture(scope="session")
def content() -> ReportContent:
    """Return one small report's content, which no test changes."""
    return build()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every figure, but spare the seconds of turning it into pixels: for tests of words and numbers."""

    def blank(_figure: object, alt: str, **_options: object) -> Picture:
        return Picture("data:image/png;base64,AA==", alt, 60, 60)

    for module in ("sections", "sections_images", "sections_activity", "sections_reference"):
        for name in ("as_png", "as_svg"):
            monkeypatch.setattr(f"insar_mining.report.{module}.{name}", blank, raising=False)
