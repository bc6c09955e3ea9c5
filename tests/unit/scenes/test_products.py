"""A folder of products as a table: everything usable is found once, everything else is named."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from insar_mining.errors import ProductError, SkippedInputWarning
from insar_mining.scenes.products import SCENE_COLUMNS, scan_products

FIRST = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
SECOND = "S1A_IW_SLC__1SDV_20230916T063730_20230916T063757_050349_060FCD_6814"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "scènes [1] et autres"
    found.mkdir()
    return found


def put_zip(source: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(source.rglob("*.*")):
            archive.write(path, Path(source.name) / path.relative_to(source))
    return target


def test_what_the_table_says(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    put_zip(morocco_safe("20230916"), folder / "second.zip")
    shutil.copytree(morocco_safe("20230904"), folder / "one level down" / f"{FIRST}.SAFE")
    (folder / "notes.txt").write_text("nothing of interest")
    (folder / "dem").mkdir()
    (folder / "dem" / "dem.tif").write_bytes(b"")
    table = scan_products(folder)
    assert tuple(table.columns) == SCENE_COLUMNS
    assert table["scene"].tolist() == [FIRST, SECOND]
    assert table["path"].tolist() == [
        str(folder / "one level down" / f"{FIRST}.SAFE"),
        str(folder / "second.zip"),
    ]
    assert table["relative_orbit"].tolist() == [52, 52]
    assert table["absolute_orbit"].tolist() == [50174, 50349]
    assert table["direction"].unique().tolist() == ["descending"]
    assert table["start"].tolist() == [
        np.datetime64("2023-09-04T06:37:30.213065", "ns"),
        np.datetime64("2023-09-16T06:37:30.627837", "ns"),
    ]
    assert (table["polarisations"].unique().tolist(), table["swaths"].unique().tolist()) == (["VV"], ["IW1+IW2+IW3"])
    assert table.crs.to_epsg() == 4326
    assert table.total_bounds == pytest.approx([-10.860316, 30.156755, -7.844, 32.1948], abs=2e-3)
    assert table.attrs["skipped"] == []


def test_the_table_survives_a_file(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    table = scan_products(morocco_safe("20230904"))
    table.to_file(folder / "scenes.geojson")
    again = gpd.read_file(folder / "scenes.geojson")
    assert again["scene"].tolist() == table["scene"].tolist()
    assert again["polarisations"].tolist() == ["VV"]
    assert again.geometry[0].equals(table.geometry[0])


def test_one_product_may_be_given_itself(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    product = morocco_safe("20230904")
    assert scan_products(product)["scene"].tolist() == [FIRST]
    assert scan_products(put_zip(product, folder / "a.zip"))["scene"].tolist() == [FIRST]


def test_nothing_is_an_empty_table(folder: Path) -> None:
    table = scan_products(folder)
    assert tuple(table.columns) == SCENE_COLUMNS
    assert len(table) == 0
    with pytest.raises(ProductError, match="absent: no such folder"):
        scan_products(folder / "absent")


def test_what_cannot_be_read_is_left_out_and_named(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    shutil.copytree(morocco_safe("20230904"), folder / f"{FIRST}.SAFE")
    whole = put_zip(morocco_safe("20230916"), folder / f"{SECOND}.zip").read_bytes()
    (folder / f"{SECOND}.zip").write_bytes(whole[:100_000])
    (folder / "empty.SAFE").mkdir()
    with pytest.warns(SkippedInputWarning, match="left out") as caught:
        table = scan_products(folder)
    assert table["scene"].tolist() == [FIRST]
    assert [Path(entry["path"]).name for entry in table.attrs["skipped"]] == [f"{SECOND}.zip", "empty.SAFE"]
    assert "incomplete zip" in table.attrs["skipped"][0]["reason"]
    assert len(caught) == 2


def test_measurements_are_checked_when_asked(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    shutil.copytree(morocco_safe("20230904"), folder / f"{FIRST}.SAFE")
    assert len(scan_products(folder)) == 1
    assert len(scan_products(folder, check_polarisation="VH")) == 1  # it has no VH that could be broken
    with pytest.warns(SkippedInputWarning, match="the measurement is missing"):
        assert len(scan_products(folder, check_polarisation="vv")) == 0


def test_a_scene_that_is_there_twice_is_listed_once(folder: Path, morocco_safe: Callable[[str], Path]) -> None:
    """Unpacked beside its zip: the folder is used.  Processed twice: the later processor is used."""
    put_zip(morocco_safe("20230904"), folder / f"{FIRST}.zip")
    kept = Path(shutil.copytree(morocco_safe("20230904"), folder / "z" / f"{FIRST}.SAFE"))
    with pytest.warns(SkippedInputWarning, match="the same scene as"):
        table = scan_products(folder)
    assert table["path"].tolist() == [str(kept)]

    newer = Path(shutil.copytree(kept, folder / f"{FIRST[:-4]}0000.SAFE"))
    manifest = newer / "manifest.safe"
    manifest.write_text(manifest.read_text().replace('version="003.61"', 'version="003.71"'))
    with pytest.warns(SkippedInputWarning, match="the same scene as"):
        table = scan_products(folder)
    assert table["path"].tolist() == [str(newer)]
    assert len(table.attrs["skipped"]) == 2
