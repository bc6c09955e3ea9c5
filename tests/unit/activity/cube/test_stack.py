"""A folder of rasters becomes one cube; what does not belong is named."""

from __future__ import annotations

import logging
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine

from insar_mining.activity import from_zarr, open_stack, to_zarr
from insar_mining.activity.cube.blocks import is_lazy
from insar_mining.errors import (
    CoverageError,
    OptionError,
    OutputError,
    PartialCoverageWarning,
    RasterError,
    SkippedInputWarning,
)
from insar_mining.geo.mines import Mine

NAMES = ("20210105_20210117", "20210117_20210129", "20210129_20210210")


@pytest.fixture
def folder(tmp_path: Path, raster: Callable[..., Path]) -> Path:
    """Three small rasters of somebody else, in a folder with a difficult name."""
    place = tmp_path / "cohérence [1] (VV)"
    generator = np.random.default_rng(1)
    for name in NAMES:
        values = generator.uniform(0.05, 0.95, (12, 10)).astype(np.float32)
        values[0, :3] = 0
        raster(place / f"{name}.tif", values)
    return place


@pytest.fixture
def quiet_mexico(mexico: Path) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(mexico, hold_bytes=0)


def test_the_mexico_city_stack_opens_as_numpy_reads_it(
    mexico: Path, mexico_values: npt.NDArray[np.float64], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        pytest.warns(SkippedInputWarning, match=r"cropA_T005A_dem\.tif: no two dates") as caught,
    ):
        coh = open_stack(mexico)
    assert not is_lazy(coh)
    assert len(caught) == 1
    assert coh.dims == ("pair", "y", "x")
    assert coh.shape == (30, 60, 100)
    assert coh.dtype == np.float32
    np.testing.assert_array_equal(coh.values, mexico_values.astype(np.float32))
    assert coh["pair"].values[0] == "20180106_20180130"
    assert (coh["pair"].values[:-1] < coh["pair"].values[1:]).all()
    assert coh["days"].values.min() == 12
    assert coh["days"].values.max() == 132
    assert set(coh["year"].values) == {2018}
    assert coh["reference_date"].dtype == "datetime64[ns]"
    assert np.isnan(coh["perpendicular_baseline_m"]).all()
    assert coh.attrs["crs"] == "EPSG:4326"
    assert coh.attrs["zero_count"] == np.isnan(mexico_values).sum() == 3311
    assert "3311 exact zeros (1.84 %" in caplog.text
    with rasterio.open(mexico / "cropA_T005A_dem.tif") as source:
        assert coh.attrs["transform"] == tuple(source.transform)[:6]
        assert source.xy(5, 7) == (pytest.approx(float(coh.x[7])), pytest.approx(float(coh.y[5])))


def test_decay_with_span_is_that_of_the_data(quiet_mexico: xr.DataArray) -> None:
    """The means that go with the data set: 0.644 at 12 days, 0.602, 0.583 and 0.551 for longer spans."""
    means = quiet_mexico.mean(("y", "x")).values
    days = quiet_mexico["days"].values
    spans = [(12, 12), (13, 36), (37, 60), (61, 132)]
    found = [means[(days >= low) & (days <= high)].mean() for low, high in spans]
    np.testing.assert_allclose(found, [0.644, 0.602, 0.583, 0.551], atol=0.002)


def test_any_part_is_what_the_whole_holds_there(quiet_mexico: xr.DataArray) -> None:
    whole = quiet_mexico.values
    generator = np.random.default_rng(7)
    keys: list[tuple[object, ...]] = [
        (3, 2, 1),
        (slice(None, None, -1), slice(5, 1, -1), [3, 1]),
        ([2, 0, 0], 4, slice(10, 90, 7)),
        (slice(0, 0), slice(None), slice(None)),
        (slice(None), slice(5, 5), slice(None)),
        (-1, slice(-3, None), -1),
    ]
    for _ in range(20):
        a, b = sorted(generator.integers(0, 61, 2))
        keys.append(
            (generator.permutation(30)[:4].tolist(), slice(int(a), int(b)), generator.integers(0, 100, 5).tolist())
        )
    for key in keys:
        expected = whole
        for axis, k in reversed(list(enumerate(key))):
            expected = expected[(slice(None),) * axis + (k,)]
        np.testing.assert_array_equal(quiet_mexico[key].values, expected)


def test_only_what_is_asked_for_is_read(tmp_path: Path, raster: Callable[..., Path]) -> None:
    """One pixel of a stack of 4 x 3000 x 3000 (144 MB) costs little memory, and so does opening it."""
    values = np.full((3000, 3000), 0.5, np.float32)
    for number in range(4):
        raster(tmp_path / f"202101{10 + 6 * number}_20210221.tif", values, tiled=True, compress="deflate")
    tracemalloc.start()
    coh = open_stack(tmp_path)
    assert is_lazy(coh)
    assert float(coh[3, 700, 700]) == 0.5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15e6


def test_small_stacks_are_read_at_once_and_say_the_same(quiet_mexico: xr.DataArray, mexico: Path) -> None:
    with pytest.warns(SkippedInputWarning):
        held = open_stack(mexico)
    assert not is_lazy(held)
    xr.testing.assert_identical(held, quiet_mexico.compute())


def test_zeros_of_others_are_nodata_unless_told(folder: Path) -> None:
    assert int(np.isnan(open_stack(folder)).sum()) == 9
    kept = open_stack(folder, zero="value")
    assert int(np.isnan(kept).sum()) == 0
    assert int((kept == 0).sum()) == 9
    assert kept.attrs["zero_count"] == 0


def test_zero_value_wins_over_a_nodata_of_zero(mexico: Path) -> None:
    with pytest.warns(SkippedInputWarning):
        kept = open_stack(mexico, zero="value")
    assert int((kept == 0).sum()) == 3311


def test_our_own_zeros_are_coherence(tmp_path: Path, raster: Callable[..., Path], own_tags: dict[str, str]) -> None:
    values = np.array([[0.0, 0.5], [np.nan, 1.0]], np.float32)
    raster(tmp_path / f"{NAMES[0]}.tif", values, tags={**own_tags, "PERPENDICULAR_BASELINE_M": "-29.5"}, nodata=np.nan)
    coh = open_stack(tmp_path)
    np.testing.assert_array_equal(coh.values[0], values)
    assert coh["perpendicular_baseline_m"].values == [-29.5]
    assert coh.attrs["window"] == "2x7"
    assert coh.attrs["origin"] == "this package"


@pytest.mark.parametrize("nodata", [-9999.0, 255.0, np.nan])
def test_declared_nodata_becomes_nan(tmp_path: Path, raster: Callable[..., Path], nodata: float) -> None:
    raster(tmp_path / f"{NAMES[0]}.tif", np.array([[nodata, 0.5]], np.float32), nodata=nodata)
    np.testing.assert_array_equal(open_stack(tmp_path).values[0], [[np.nan, 0.5]])


def test_scaled_integers_are_unscaled_by_their_own_tag(tmp_path: Path, raster: Callable[..., Path]) -> None:
    path = raster(tmp_path / f"{NAMES[0]}.tif", np.array([[255, 50, 100, 0]], np.uint8), nodata=255)
    with rasterio.open(path, "r+") as target:
        target.scales = (0.01,)
    np.testing.assert_allclose(open_stack(path).values[0], [[np.nan, 0.5, 1.0, np.nan]], rtol=1e-6)


def test_rounding_is_put_back_to_the_limits(tmp_path: Path, raster: Callable[..., Path]) -> None:
    raster(tmp_path / f"{NAMES[0]}.tif", np.array([[1.00001, -1e-6, 0.3]], np.float32))
    np.testing.assert_allclose(open_stack(tmp_path).values[0], [[1.0, 0.0, 0.3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[-3.1, 3.0]], np.float32), "-3.1 to 3"),
        (np.array([[2217, 2287]], np.int16), "2217 to 2287"),
        (np.array([[12, 255]], np.uint8), "12 to 255"),
        (np.array([[0.5, np.inf]], np.float32), "0.5 to inf"),
    ],
)
def test_what_is_not_coherence_is_named_when_opened(
    folder: Path, raster: Callable[..., Path], values: npt.NDArray[np.generic], said: str
) -> None:
    cells = np.resize(values, (12, 10))
    path = raster(folder / "20210210_20210222_phase.tif", cells)
    with pytest.raises(RasterError, match=f"{path.name}: values from {said}") as caught:
        open_stack(folder)
    assert "between 0 and 1" in str(caught.value)


def test_a_stray_value_that_the_sample_missed_is_found_when_read(tmp_path: Path, raster: Callable[..., Path]) -> None:
    values = np.full((1100, 1100), 0.5, np.float32)
    values[0, 0] = 7
    raster(tmp_path / f"{NAMES[0]}.tif", values)
    coh = open_stack(tmp_path, hold_bytes=0)
    with pytest.raises(RasterError, match="to 7"):
        coh[:, :10].compute()
    with pytest.raises(RasterError, match="to 7"):
        open_stack(tmp_path)


def test_complex_and_absent_bands_are_named(tmp_path: Path, raster: Callable[..., Path]) -> None:
    raster(tmp_path / "a" / f"{NAMES[0]}.tif", np.ones((2, 2), np.complex64))
    with pytest.raises(RasterError, match="band 1 is complex"):
        open_stack(tmp_path / "a")
    raster(tmp_path / "b" / f"{NAMES[0]}.tif", np.stack([np.full((2, 2), 9.0), np.full((2, 2), 0.4)]))
    assert float(open_stack(tmp_path / "b", band=2).max()) == pytest.approx(0.4)
    with pytest.raises(RasterError, match="2 band"):
        open_stack(tmp_path / "b", band=3)


def test_places_without_rasters_are_named(tmp_path: Path, raster: Callable[..., Path]) -> None:
    with pytest.raises(RasterError, match="nowhere: no such folder"):
        open_stack(tmp_path / "nowhere")
    with pytest.raises(RasterError, match=r"holds no raster"):
        open_stack(tmp_path)
    with pytest.raises(RasterError, match="no coherence raster was given"):
        open_stack([])
    raster(tmp_path / "below" / f"{NAMES[0]}.tif", np.full((2, 2), 0.5, np.float32))
    assert open_stack(tmp_path)["source"].values.tolist() == [f"below/{NAMES[0]}.tif"]
    with pytest.raises(RasterError, match=r"no such file: .*absent\.tif"):
        open_stack([tmp_path / "below" / f"{NAMES[0]}.tif", tmp_path / "absent.tif"])


def test_a_text_file_named_tif_is_skipped_and_named(folder: Path) -> None:
    (folder / "20210210_20210222.tif").write_text("not a raster")
    with pytest.warns(SkippedInputWarning, match=r"20210210_20210222\.tif: not a raster that can be opened"):
        coh = open_stack(folder)
    assert coh.sizes["pair"] == 3


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path, raster: Callable[..., Path]) -> None:
    (tmp_path / "readme.tif").write_text("not a raster")
    raster(tmp_path / "dem.tif", np.full((2, 2), 300, np.int16))
    with pytest.raises(RasterError, match=r"among 2 file\(s\).*dem\.tif: no two dates.*readme\.tif: not a raster"):
        open_stack(tmp_path)


def test_hidden_half_written_files_are_not_looked_at(folder: Path) -> None:
    (folder / ".20210210_20210222.1a2b.part.tif").write_text("half")
    assert open_stack(folder).sizes["pair"] == 3


def test_one_file_and_a_list_of_files_make_a_stack(folder: Path) -> None:
    assert open_stack(folder / f"{NAMES[1]}.tif")["pair"].values.tolist() == [NAMES[1]]
    files = [str(folder / f"{name}.tif") for name in (NAMES[2], NAMES[0])]
    assert open_stack(files)["pair"].values.tolist() == [NAMES[0], NAMES[2]]


def test_the_same_pair_twice_is_named(folder: Path, raster: Callable[..., Path]) -> None:
    raster(folder / "17Jan2021_05Jan2021_VH.tif", np.full((12, 10), 0.5, np.float32))
    with pytest.raises(RasterError, match=r"17Jan2021_05Jan2021_VH\.tif and 20210105_20210117\.tif"):
        open_stack(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transform": Affine(20, 0, 600_030, 0, -20, 3_500_000)}, "600030"),
        ({"transform": Affine(20, 0, 600_010, 0, -20, 3_500_000)}, "600010"),
        ({"transform": Affine(40, 0, 600_000, 0, -40, 3_500_000)}, "cells of 40"),
        ({"crs": "EPSG:32630"}, "EPSG:32630"),
    ],
)
def test_the_odd_grid_is_named(folder: Path, raster: Callable[..., Path], change: dict[str, object], said: str) -> None:
    raster(folder / "20201224_20210105.tif", np.full((12, 10), 0.5, np.float32), **change)
    with pytest.raises(RasterError, match=r"1 of 4 rasters lie on other cells") as caught:
        open_stack(folder)
    assert "20201224_20210105.tif" in str(caught.value)
    assert said in str(caught.value)
    assert NAMES[0] not in str(caught.value)


def test_another_extent_is_cropped_and_rounding_is_no_difference(folder: Path, raster: Callable[..., Path]) -> None:
    shifted = Affine(20, 0, 600_000 + 2e-6, 0, -20, 3_500_000 - 2e-6)
    raster(folder / "20210210_20210222.tif", np.full((12, 10), 0.5, np.float32), transform=shifted)
    assert open_stack(folder).sizes["pair"] == 4
    before = open_stack(folder)
    # one row and two columns to the south-east
    moved = Affine(20, 0, 600_040, 0, -20, 3_499_980)
    raster(folder / "20210222_20210306.tif", np.full((12, 11), 0.5, np.float32), transform=moved)
    cropped = open_stack(folder)
    assert cropped.shape == (5, 11, 8)
    np.testing.assert_array_equal(cropped.values[:4], before.values[:, 1:, 2:])
    assert (cropped.values[4] == 0.5).all()


def test_a_raster_without_a_place_is_named(tmp_path: Path, raster: Callable[..., Path]) -> None:
    values = np.full((2, 2), 0.5, np.float32)
    raster(tmp_path / "a" / f"{NAMES[0]}.tif", values, crs=None)
    with pytest.raises(RasterError, match="no coordinate reference system"):
        open_stack(tmp_path / "a")
    raster(tmp_path / "b" / f"{NAMES[0]}.tif", values, transform=Affine(19.9, -1.7, 600_000, 1.7, -19.9, 3_500_000))
    with pytest.raises(RasterError, match="rotated or mirrored"):
        open_stack(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "value"), [("WINDOW", "4x14"), ("RELATIVE_ORBIT", "81"), ("PHASES_REMOVED", "flat-earth")]
)
def test_products_of_different_settings_are_refused(
    tmp_path: Path, raster: Callable[..., Path], own_tags: dict[str, str], name: str, value: str
) -> None:
    values = np.full((2, 2), 0.5, np.float32)
    raster(tmp_path / f"{NAMES[0]}.tif", values, tags=own_tags)
    raster(tmp_path / f"{NAMES[1]}.tif", values, tags={**own_tags, name: value})
    with pytest.raises(RasterError, match=f"different settings .*{name}.*{value} in {NAMES[1]}"):
        open_stack(tmp_path)


def test_engines_may_differ_but_origins_may_not(
    tmp_path: Path, raster: Callable[..., Path], own_tags: dict[str, str]
) -> None:
    values = np.full((2, 2), 0.5, np.float32)
    raster(tmp_path / f"{NAMES[0]}.tif", values, tags=own_tags)
    raster(tmp_path / f"{NAMES[1]}.tif", values, tags={**own_tags, "ENGINE": "snap"})
    assert open_stack(tmp_path).sizes["pair"] == 2
    raster(tmp_path / f"{NAMES[2]}.tif", values)
    with pytest.raises(RasterError, match=f"mixed with rasters made elsewhere \\({NAMES[2]}"):
        open_stack(tmp_path)


def test_a_damaged_raster_is_named(tmp_path: Path, raster: Callable[..., Path]) -> None:
    """Without its header it is no raster and skipped; with a header but spoilt pixels it is an error."""
    values = np.random.default_rng(2).uniform(0.1, 0.9, (64, 64)).astype(np.float32)
    whole = [raster(tmp_path / f"{name}.tif", values, compress="deflate") for name in NAMES]
    content = whole[1].read_bytes()
    whole[1].write_bytes(content[:2000] + b"\xff" * 4000 + content[6000:])
    with pytest.raises(RasterError, match=f"{NAMES[1]}.tif: cannot be read"):
        open_stack(tmp_path)
    whole[1].write_bytes(content[:4])
    with pytest.warns(SkippedInputWarning, match=f"{NAMES[1]}.tif: not a raster"):
        assert open_stack(tmp_path).sizes["pair"] == 2


def test_wrong_options_are_named(folder: Path) -> None:
    with pytest.raises(OptionError, match="zero='nan'"):
        open_stack(folder, zero="nan")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="min_cover=0"):
        open_stack(folder, min_cover=0)


def test_a_mine_crops_and_masks(mexico: Path, mexico_values: npt.NDArray[np.float64]) -> None:
    """Cells whose cover by the polygon is at least a half stay; the window is that of the polygon."""
    polygon = shapely.Point(-99.12, 19.41).buffer(0.02, quad_segs=32)
    hole = shapely.Point(-99.12, 19.41).buffer(0.006)
    mine = Mine("m1", "Mine one", polygon.difference(hole))
    with pytest.warns(SkippedInputWarning):
        coh = open_stack(mexico, mine)
    assert coh.attrs["mine_id"] == "m1"
    west, _, east, north = polygon.bounds
    step = coh.attrs["transform"][0]
    assert west - step < coh.x.values[0] - step / 2 <= west
    assert north <= coh.y.values[0] + step / 2 < north + step
    assert east <= coh.x.values[-1] + step / 2 < east + step
    # an independent cover: shapely's intersection of every cell
    x, y = np.meshgrid(coh.x.values, coh.y.values)
    cells = shapely.box(x - step / 2, y - step / 2, x + step / 2, y + step / 2)
    cover = shapely.area(shapely.intersection(cells, mine.geometry)) / step**2
    np.testing.assert_allclose(coh["cover"].values, cover, atol=1e-5)
    row, col = (
        round((19.451292623451756 - coh.y.values[0] - step / 2) / step),
        round((coh.x.values[0] - step / 2 + 99.19106978163674) / step),
    )
    expected = mexico_values[:, row : row + coh.sizes["y"], col : col + coh.sizes["x"]].astype(np.float32)
    expected[:, cover < 0.5] = np.nan
    np.testing.assert_array_equal(coh.values, expected)


def test_a_mine_outside_half_outside_and_too_small_are_told_apart(mexico: Path) -> None:
    files = sorted(mexico.glob("*_cc.tif"))[:2]
    with pytest.raises(CoverageError, match="lies outside the rasters"):
        open_stack(files, shapely.box(10, 10, 10.1, 10.1))
    with pytest.warns(PartialCoverageWarning, match=r"50\.0 % of the mine"):
        coh = open_stack(files, shapely.box(-99.19106978 - 0.02, 19.40, -99.19106978 + 0.02, 19.42))
    assert coh.sizes["x"] == 15
    dot = shapely.Point(-99.12, 19.41).buffer(1e-4)
    with pytest.raises(CoverageError, match=r"covers no cell by 0\.5 or more \(at best 0\.0"):
        open_stack(files, dot)
    assert open_stack(files, dot, min_cover=0.001).notnull().any()


def test_zarr_holds_the_cube_again(tmp_path: Path, quiet_mexico: xr.DataArray) -> None:
    path = to_zarr(quiet_mexico, tmp_path / "out" / "coherence.zarr", chunk=32)
    again = from_zarr(path)
    assert is_lazy(again)
    xr.testing.assert_equal(again.compute(), quiet_mexico.compute())
    assert set(again.coords) == set(quiet_mexico.coords)
    assert again.attrs == quiet_mexico.attrs
    assert again["reference_date"].dtype == "datetime64[ns]"
    assert [p.name for p in path.parent.iterdir()] == ["coherence.zarr"]
    # any xarray reads it
    np.testing.assert_array_equal(xr.open_zarr(path)["coherence"].values, quiet_mexico.values)


def test_zarr_is_replaced_whole_and_strangers_are_left_alone(
    tmp_path: Path, cube_of: Callable[..., xr.DataArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "coherence.zarr"
    to_zarr(cube_of(np.full((2, 3, 4), 0.5)), path)
    to_zarr(cube_of(np.full((3, 3, 4), 0.25)), path)
    assert from_zarr(path).shape == (3, 3, 4)
    assert float(from_zarr(path).max()) == 0.25
    stranger = tmp_path / "letters"
    stranger.mkdir()
    (stranger / "love.txt").write_text("dear")
    with pytest.raises(OutputError, match="no Zarr store"):
        to_zarr(cube_of(np.full((2, 3, 4), 0.5)), stranger)
    assert (stranger / "love.txt").read_text() == "dear"

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("insar_mining.activity.cube.store.zarr.consolidate_metadata", full)
    with pytest.raises(OutputError, match="No space left"):
        to_zarr(cube_of(np.full((2, 3, 4), 0.75)), path)
    assert float(from_zarr(path).max()) == 0.25
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coherence.zarr", "letters"]


def test_an_absent_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match=r"none\.zarr: .* Zarr store"):
        from_zarr(tmp_path / "none.zarr")
