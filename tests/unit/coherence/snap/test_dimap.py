"""DIMAP headers and pixels: read right, moved right, and refused when they are not whole."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from insar_mining.coherence.snap.dimap import (
    check_content,
    coherence_band,
    dates_of,
    move_origin,
    parse_utc,
    read_dimap,
)
from insar_mining.errors import SnapCrashError, SnapOutputError

sys.path.insert(0, str(Path(__file__).parents[3] / "standin_gpt"))
from dimap_files import Date, Product, write

START = dt.datetime(2023, 9, 4, 6, 37, 31, 72288)
DAYS = ("2023-09-04", "2023-09-16")
COH = "coh_IW1_VV_04Sep2023_16Sep2023"


def product(
    bands: dict[str, np.ndarray] | None = None, group: str = "Secondary_Metadata", step: float = 1.0
) -> Product:
    attributes = {
        "first_line_time": "04-SEP-2023 06:37:31.072288",
        "last_line_time": "04-SEP-2023 06:37:33.072288",
        "line_time_interval": "0.002055556",
        "slant_range_to_first_pixel": "800000.0",
        "range_spacing": "2.329562",
        "orbit_state_vector_file": "Sentinel Precise S1A_OPER_X.EOF",
    }
    vectors = [(START + dt.timedelta(seconds=step * k), np.arange(6.0)) for k in range(5)]
    dates = [Date(name, dict(attributes), vectors) for name in ("reference", "other_16Sep2023")]
    rng = np.random.default_rng(1)
    bands = bands or {COH: rng.random((70, 30), dtype=np.float32)}
    return Product(bands, dates, ("LOCAL_CS[]", (20.0, 0.0, 0.0, -20.0, 500000.0, 3400000.0)), {"secondaries": group})


def test_pixels_are_big_endian_and_little_if_the_header_says_so(tmp_path: Path) -> None:
    made = product({"a": np.arange(12, dtype=np.int16).reshape(3, 4), "b": np.linspace(0, 1, 12).reshape(3, 4)})
    write(made, tmp_path / "p.dim")
    read = read_dimap(tmp_path / "p.dim")
    for name, values in made.bands.items():
        np.testing.assert_array_equal(read.band(name).pixels(), values.astype(read.band(name).dtype))
    header = tmp_path / "p.data" / "b.hdr"
    header.write_text(header.read_text().replace("byte order = 1", "byte order = 0"))
    made.bands["b"].astype("<f4").tofile(tmp_path / "p.data" / "b.img")
    np.testing.assert_array_equal(read_dimap(tmp_path / "p.dim").band("b").pixels(), made.bands["b"].astype("f4"))


def test_the_transform_is_in_javas_order(tmp_path: Path) -> None:
    write(product(), tmp_path / "p.dim")
    assert read_dimap(tmp_path / "p.dim").transform == Affine(20, 0, 500000, 0, -20, 3400000)


@pytest.mark.parametrize("name", [COH, "coh_VV_04Sep2023_16Sep2023", "coh_04Sep2023_16Sep2023"])
def test_the_band_is_picked_by_dates_and_polarisation(tmp_path: Path, name: str) -> None:
    values = np.full((3, 3), 0.5, np.float32)
    others = ("coh_IW1_VV_16Sep2023_04Sep2023", "coh_IW1_VV_04Sep2023_28Sep2023", "coh_IW1_VH_04Sep2023_16Sep2023",
              "i_ifg_VV_04Sep2023_16Sep2023")  # fmt: skip
    write(product({**dict.fromkeys(others, values), name: values}), tmp_path / "p.dim")
    assert coherence_band(read_dimap(tmp_path / "p.dim"), *DAYS, "VV").name == name


def test_no_band_or_two_are_refused(tmp_path: Path) -> None:
    values = np.full((3, 3), 0.5, np.float32)
    write(product({"i_VV": values}), tmp_path / "p.dim")
    with pytest.raises(SnapOutputError, match=r"0 bands hold the VV coherence of 04Sep2023 and 16Sep2023.*i_VV"):
        coherence_band(read_dimap(tmp_path / "p.dim"), *DAYS, "VV")
    write(product({COH: values, COH.replace("IW1_", ""): values}), tmp_path / "p.dim")
    with pytest.raises(SnapOutputError, match="2 bands"):
        coherence_band(read_dimap(tmp_path / "p.dim"), *DAYS, "VV")


@pytest.mark.parametrize("group", ["Secondary_Metadata", "Slave_Metadata"])
@pytest.mark.parametrize("marks", [("ref", "sec1"), ("mst", "slv1")])
def test_both_generations_of_names_are_read(tmp_path: Path, group: str, marks: tuple[str, str]) -> None:
    bands = {f"i_IW1_VV_{mark}_{day}": np.ones((3, 3), np.float32)
             for mark, day in zip(marks, ("04Sep2023", "16Sep2023"), strict=True)}  # fmt: skip
    write(product(bands, group, step=10.0), tmp_path / "p.dim")
    read = read_dimap(tmp_path / "p.dim")
    assert dates_of(read) == {"04Sep2023", "16Sep2023"}
    check_content(read, DAYS)
    assert [(o.file.split()[-1], o.spacing_s) for o in read.orbits()] == [("S1A_OPER_X.EOF", 10.0)] * 2


def test_half_a_file_is_a_crash(tmp_path: Path) -> None:
    write(product(), tmp_path / "p.dim")
    image = tmp_path / "p.data" / f"{COH}.img"
    image.write_bytes(image.read_bytes()[:-4])
    with pytest.raises(SnapCrashError, match="has 8396 bytes, 8400 are expected"):
        check_content(read_dimap(tmp_path / "p.dim"))
    image.unlink()
    with pytest.raises(SnapCrashError, match="is missing"):
        check_content(read_dimap(tmp_path / "p.dim"))
    text = (tmp_path / "p.dim").read_bytes()
    (tmp_path / "p.dim").write_bytes(text[: len(text) // 2])
    with pytest.raises(SnapCrashError, match="is damaged"):
        read_dimap(tmp_path / "p.dim")
    with pytest.raises(SnapCrashError, match="left no product"):
        read_dimap(tmp_path / "none.dim")


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_band_without_a_value_is_refused(tmp_path: Path, value: float) -> None:
    write(product({COH: np.full((70, 30), value, np.float32)}), tmp_path / "p.dim")
    with pytest.raises(SnapOutputError, match=f"band {COH} holds no value although SNAP reported success"):
        check_content(read_dimap(tmp_path / "p.dim"))


def test_an_empty_product_and_another_pair_are_refused(tmp_path: Path) -> None:
    write(Product({}, [], None, {}), tmp_path / "p.dim")
    with pytest.raises(SnapOutputError, match=r"is empty .0 x 0 pixels"):
        check_content(read_dimap(tmp_path / "p.dim"))
    write(product(), tmp_path / "q.dim")
    with pytest.raises(SnapOutputError, match="no band is of 2023-09-28"):
        check_content(read_dimap(tmp_path / "q.dim"), ("2023-09-04", "2023-09-28"))


def test_moving_the_origin_moves_times_and_range_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "p.dim"
    write(product(), path)
    before = read_dimap(path)
    move_origin(path, 0.5, 0.0)
    after = read_dimap(path)
    half = dt.timedelta(microseconds=1028)  # half of 2055.556 microseconds, rounded
    for name in ("first_line_time", "last_line_time"):
        assert parse_utc(after.attribute(name)) - parse_utc(before.attribute(name)) == half
    assert after.attribute("slant_range_to_first_pixel") == "800000.0"
    np.testing.assert_array_equal(after.band(COH).pixels(), before.band(COH).pixels())
    assert after.orbits() == before.orbits()
    move_origin(path, 0.0, 0.5)
    assert float(read_dimap(path).attribute("slant_range_to_first_pixel")) == pytest.approx(800001.164781)


def test_moving_needs_the_times(tmp_path: Path) -> None:
    write(Product({COH: np.ones((3, 3), np.float32)}, [], None, {}), tmp_path / "p.dim")
    with pytest.raises(SnapOutputError, match="no line_time_interval"):
        move_origin(tmp_path / "p.dim", 0.5, 0)
