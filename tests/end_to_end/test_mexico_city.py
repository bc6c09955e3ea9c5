"""Thirty real coherence rasters of another processor (GAMMA, Mexico City 2018) through ``insar-mining analyse``."""

from __future__ import annotations

import base64
import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pystac
import pytest
import rasterio
from pystac.validation import validate_dict
from rasterio.features import rasterize
from scipy.optimize import OptimizeWarning, curve_fit
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.base import BaseGeometry

from .conftest import Finished, insar_mining

MEXICO = Path(__file__).parents[1] / "data" / "mexico_city"
CELL_DEG = 0.0013888889

# the rasters lie at 99.19 to 99.05 W, 19.37 to 19.45 N
AREAS: dict[str, BaseGeometry] = {
    "box": box(-99.15, 19.39, -99.09, 19.43),
    "parts and a hole": MultiPolygon(
        [
            Polygon(
                [(-99.18, 19.38), (-99.12, 19.375), (-99.11, 19.43), (-99.17, 19.44)],
                [[(-99.15, 19.40), (-99.14, 19.40), (-99.14, 19.41), (-99.15, 19.41)]],
            ),
            box(-99.10, 19.40, -99.07, 19.44),
        ]
    ),
    "beyond the edge": box(-99.22, 19.385, -99.12, 19.435),
}


@dataclass(frozen=True)
class Analysed:
    folder: Path
    area: BaseGeometry
    said: Finished

    def raster(self, name: str) -> tuple[npt.NDArray[np.float64], rasterio.Affine]:
        with rasterio.open(self.folder / name) as source:
            assert source.crs.to_epsg() == 4326
            return source.read(1).astype(float), source.transform


def analyse(area: BaseGeometry, folder: Path, *more: str) -> Analysed:
    mine = folder / "ciudad de México.geojson"
    mine.write_text(json.dumps(mapping(area)), encoding="utf-8")
    said = insar_mining("analyse", MEXICO, "--mine", mine, "--out", folder / "result", *more)
    return Analysed(folder / "result", area, said)


@pytest.fixture(scope="module", params=list(AREAS))
def analysed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return analyse(AREAS[request.param], tmp_path_factory.mktemp("mexico"))


@pytest.fixture(scope="module", params=list(AREAS))
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return analyse(AREAS[request.param], tmp_path_factory.mktemp("published"), "--method", "published")


def test_one_year_gives_everything_but_colours(analysed: Analysed) -> None:
    names = {path.name for path in analysed.folder.iterdir() if not path.name.startswith(".") and path.suffix != ".qml"}
    assert names == {
        "active_2018.tif",
        "active_dates.tif",
        "activity.csv",
        "coherence",
        "coherence.zarr",
        "collection.json",
        "duty_2018.tif",
        *("rejected.csv", "states_2018.tif", "seasonality.csv", "zone_shares.csv", "zones.csv"),
        "monthly.csv",
        "ndai_2018.tif",
        "report.html",
        "run.yaml",
        "scenes.csv",
        "stable.tif",
    }
    assert len(list((analysed.folder / "coherence").glob("*.tif"))) == 30
    (row,) = pd.read_csv(analysed.folder / "activity.csv").itertuples()
    assert row.year == 2018
    assert row.n_pairs == pd.read_csv(analysed.folder / "scenes.csv")["kept"].sum()
    # the default method needs no other years (by the hue of three, what is active in one is not known)
    assert 0 <= row.area_low_m2 <= row.area_m2 <= row.area_high_m2
    assert row.active_pixels <= row.n_pixels
    # nobody mines in the city: at most ground that is never coherent, parks and water, is counted, and is said
    assert row.area_low_m2 == 0 or "ALWAYS" in row.flags
    assert row.area_high_m2 > 0
    states, _ = analysed.raster("states_2018.tif")
    assert row.n_pixels == (states != 255).sum()


def test_what_is_left_out_is_named(analysed: Analysed) -> None:
    assert "left out" in analysed.said.stderr
    assert "cropA_T005A_dem.tif" in analysed.said.stderr
    assert "cropA_T005A_dem.tif" in (analysed.folder / "report.html").read_text("utf-8")
    beyond = not box(-99.191, 19.368, -99.052, 19.451).covers(analysed.area)
    assert ("% of the mine lies outside the rasters" in analysed.said.stderr) == beyond


def test_the_numbers_are_those_of_the_rasters(published: Analysed) -> None:
    """Masks, stable points, the scene test and NDAI again, by numpy from the rasters themselves."""
    stable, transform = published.raster("stable.tif")
    found, _ = published.raster("ndai_2018.tif")
    layers = {}
    for path in sorted(MEXICO.glob("*_cc.tif")):
        with rasterio.open(path) as source:
            theirs = source.transform
            column, row = (transform.c - theirs.c) / theirs.a, (transform.f - theirs.f) / theirs.e
            # the grid is the rasters' own, and only cropped
            assert theirs.a == transform.a == pytest.approx(CELL_DEG)
            assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-4)
            top, left = round(row), round(column)
            layer = source.read(1)[top : top + stable.shape[0], left : left + stable.shape[1]].astype(float)
        layer[layer == 0] = np.nan
        first, second = path.name.split("_")[1].split("-")
        layers[f"{first}_{second}"] = layer
    scenes = pd.read_csv(published.folder / "scenes.csv", keep_default_na=False).set_index("pair")
    assert list(scenes.index) == sorted(layers)

    # cells wholly inside belong to the mine, cells that the polygon does not touch do not
    inside = stable != 255
    touched = rasterize([published.area], stable.shape, transform=transform, all_touched=True).astype(bool)
    edges = rasterize([published.area.boundary], stable.shape, transform=transform, all_touched=True).astype(bool)
    assert not (inside & ~touched).any()
    assert inside[touched & ~edges].all()

    points = stable == 1
    kept = np.stack([layers[pair] for pair in scenes.index[scenes["kept"]]])
    mean, spread = np.nanmean(kept[:, points], axis=0), np.nanstd(kept[:, points], axis=0)
    assert mean.min() >= 0.8 - 1e-6
    assert spread.max() <= 0.2 + 1e-6
    for pair, row in scenes.iterrows():
        over = layers[str(pair)][points]
        assert row["stable_mean"] == pytest.approx(np.nanmean(over), abs=1e-6)
        assert row["stable_sd"] == pytest.approx(np.nanstd(over), abs=1e-6)
        assert row["kept"] == (np.nanmean(over) >= 0.8 and np.nanstd(over) <= 0.2)

    reference = np.nanmean(kept[:, points], axis=1)[:, np.newaxis, np.newaxis]
    index = (reference - kept) / (reference + kept)
    count = np.isfinite(kept).sum(axis=0)
    known = inside & (count > 0)
    annual = np.nansum(index, axis=0)[known] / count[known]
    np.testing.assert_allclose(found[known], annual, atol=1e-5)
    assert np.isnan(found[~known]).all()


def test_the_report_shows_the_decay_of_the_stable_points(published: Analysed) -> None:
    """Fitted again by scipy to the table: one point per kept pair, and a line from the shortest to the longest span."""
    page = (published.folder / "report.html").read_text("utf-8")
    _, section = page.split("<h3>What time takes</h3>")
    section, _, _ = section.partition("</figure>")
    scenes = pd.read_csv(published.folder / "scenes.csv")
    kept = scenes[scenes["kept"]]
    dates = kept["pair"].str.split("_", expand=True)
    days = (pd.to_datetime(dates[1]) - pd.to_datetime(dates[0])).dt.days.to_numpy()
    ends = int(days.min()), int(days.max())
    # pairs of up to 132 days are there; the scene test rejects the longest
    assert ends[0] == 12
    assert ends[1] >= 72
    said = re.search(r"span of the pairs: from (\d\.\d\d) to (\d\.\d\d) over (\d+) to (\d+) days", section)
    assert said
    assert (int(said[3]), int(said[4])) == ends

    def decay(t: npt.NDArray[np.float64], start: float, lasting: float, tau: float) -> npt.NDArray[np.float64]:
        return start * (lasting + (1 - lasting) * np.exp(-t / tau))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        found, _ = curve_fit(
            decay, days, kept["stable_mean"], p0=(0.9, 0.9, 30.0), bounds=([0, 0, 1], [1.5, 1, 2000]), max_nfev=10000
        )
    assert (float(said[1]), float(said[2])) == pytest.approx(tuple(decay(np.array(ends, float), *found)), abs=0.015)
    picture = re.search(r"data:image/svg\+xml;base64,([^\"]+)", section)
    assert picture
    drawn = base64.b64decode(picture[1]).decode()
    assert f"stable points, {len(kept)} pairs" in drawn
    assert f"{said[1]} to {said[2]} over {said[3]} to {said[4]} days; time constant" in drawn
    # a marker for every pair, and that of the legend
    assert len(kept) + 1 in Counter(re.findall(r'<use xlink:href="#(\w+)"', drawn)).values()


def test_the_collection_can_be_walked(analysed: Analysed) -> None:
    collection = pystac.Collection.from_file(str(analysed.folder / "collection.json"))
    items = list(collection.get_items())
    assert len(items) == 30
    for thing in (collection, *items):
        # the schemas of extensions are on a host; pystac ships those of the core
        validate_dict(thing.to_dict(), extensions=[])
        for asset in thing.assets.values():
            assert Path(str(asset.get_absolute_href())).exists()
