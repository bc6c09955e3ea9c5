"""Folders of fetched and copied files: what is whole, damaged, unfinished."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from insar_mining.download.files import Item, fetch_files, part_path
from insar_mining.download.integrity import Expected, fault_of
from insar_mining.download.session import EarthdataSession
from insar_mining.download.verify import COLUMNS, verify_folder
from insar_mining.errors import ArchiveError


def states(folder: Path) -> dict[str, tuple[str, str]]:
    table = verify_folder(folder)
    assert tuple(table.columns) == COLUMNS
    return {row.file: (row.state, row.checked) for row in table.itertuples()}


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/y.bin", content)
    return buffer.getvalue()


def test_fetched_files_are_held_against_their_checksum(server: Any, tmp_path: Path) -> None:
    content = zipped(bytes(10_000))
    items = [Item(server.add(f"/{n}", content), n, Expected(kind="zip")) for n in ("a.zip", "b.zip", "sub/c.zip")]
    fetch_files(items, tmp_path, EarthdataSession())
    assert set(states(tmp_path).values()) == {("whole", "checksum")}
    changed = bytearray(content)
    changed[60] ^= 1
    (tmp_path / "a.zip").write_bytes(changed)
    (tmp_path / "b.zip").write_bytes(content[:-1])
    part_path(tmp_path / "d.zip").write_bytes(content[:77])
    assert states(tmp_path) == {
        "a.zip": ("damaged", "checksum"),
        "b.zip": ("damaged", "checksum"),
        "sub/c.zip": ("whole", "checksum"),
        ".d.zip.part": ("unfinished", ""),
    }
    reasons = verify_folder(tmp_path).set_index("file")["reason"]
    assert "not those that were fetched; fetch it again" in reasons["a.zip"]
    assert f"{len(content) - 1:,} bytes long, {len(content):,} when" in reasons["b.zip"]


def test_files_of_other_origin_are_held_against_their_structure(tmp_path: Path) -> None:
    content = zipped(np.random.default_rng(1).bytes(5000))
    (tmp_path / "good.zip").write_bytes(content)
    (tmp_path / "crc.zip").write_bytes(content[:300] + b"\0\0\0\0" + content[304:])
    (tmp_path / "cut.zip").write_bytes(content[:-30])
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "good.xml").write_text("<a><b/></a>")
    (tmp_path / "cut.EOF").write_text("<a><b/>")
    (tmp_path / "notes.txt").write_text("x")
    profile = {"driver": "GTiff", "width": 300, "height": 200, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    transform = rasterio.transform.from_origin(0, 1, 0.01, 0.01)
    for name in ("good.tif", "cut.tif"):
        with rasterio.open(tmp_path / name, "w", transform=transform, **profile) as file:
            file.write(np.random.default_rng(2).random((1, 200, 300), dtype=np.float32))
    whole = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    assert states(tmp_path) == {
        "good.zip": ("whole", "structure"),
        "crc.zip": ("damaged", "structure"),
        "cut.zip": ("damaged", "structure"),
        "empty.zip": ("damaged", "size"),
        "good.xml": ("whole", "structure"),
        "cut.EOF": ("damaged", "structure"),
        "notes.txt": ("whole", "size"),
        "good.tif": ("whole", "structure"),
        "cut.tif": ("damaged", "structure"),
    }


def test_products_are_opened(morocco_safe: Callable[[str], Path], tmp_path: Path) -> None:
    safe = morocco_safe("20230904")
    (tmp_path / safe.name).symlink_to(safe)
    (row,) = verify_folder(tmp_path).to_dict("records")
    assert row["state"] == "damaged"
    assert "the measurement is missing" in row["reason"]
    zipped_product = tmp_path / "z" / f"{safe.stem}.zip"
    zipped_product.parent.mkdir()
    with zipfile.ZipFile(zipped_product, "w") as archive:
        for path in sorted(safe.rglob("*.*")):
            archive.write(path, f"{safe.name}/{path.relative_to(safe)}")
    rows = verify_folder(tmp_path / "z").to_dict("records")
    assert [(r["state"], r["checked"]) for r in rows] == [("damaged", "product")]


def test_a_tiff_is_held_against_the_lines_it_must_have(tmp_path: Path) -> None:
    (tmp_path / "x.tiff").write_bytes(b"II*\0" + bytes(100))
    assert fault_of(tmp_path / "x.tiff", Expected(kind="tiff")) is not None
    data = Path(__file__).parents[2] / "data" / "azores"
    (measurement,) = data.glob("*.tiff")
    assert fault_of(measurement, Expected(kind="tiff")) is None
    (tmp_path / "cut.tiff").write_bytes(measurement.read_bytes()[:-100])
    assert "cut.tiff" in str(fault_of(tmp_path / "cut.tiff", Expected(kind="tiff")))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such folder"):
        verify_folder(tmp_path / "none")
    assert verify_folder(tmp_path).empty
