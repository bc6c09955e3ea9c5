"""Real pixels and a real orbit file, and SAFE products with pixels of a known pattern."""

from __future__ import annotations

import lzma
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from lxml import etree

from insar_mining.sentinel1.annotation import SubSwath, parse_annotation

AZORES = Path(__file__).parents[2] / "data" / "azores"


@pytest.fixture(scope="session")
def azores_xml() -> bytes:
    (path,) = AZORES.glob("*.xml.xz")
    return lzma.decompress(path.read_bytes())


@pytest.fixture(scope="session")
def azores_sub_swath(azores_xml: bytes) -> SubSwath:
    return parse_annotation(azores_xml, source="azores")


@pytest.fixture(scope="session")
def azores_pixels() -> npt.NDArray[np.complex64]:
    """Real pixels: lines 9799 to 10399 and samples 10999 to 12399 of the image, counted from 0."""
    (path,) = AZORES.glob("*.tiff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return np.asarray(dataset.read(1), dtype=np.complex64)


@pytest.fixture(scope="session")
def azores_orbit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = AZORES.glob("*.EOF.xz")
    unpacked = tmp_path_factory.mktemp("azores") / path.stem
    unpacked.write_bytes(lzma.decompress(path.read_bytes()))
    return unpacked


def pattern(lines: npt.ArrayLike, samples: npt.ArrayLike) -> npt.NDArray[np.complex64]:
    """Value of every sample of a test image: it tells its line and sample, and has both signs."""
    line, sample = np.asarray(lines)[:, None], np.asarray(samples)[None, :]
    real, imaginary = (line * 7 + sample * 3) % 4001 - 2000, (line * 5 - sample) % 3001 - 1500
    return (real + 1j * imaginary).astype(np.complex64)


def as_int16(values: npt.NDArray[np.complex64]) -> npt.NDArray[np.int16]:
    return np.ascontiguousarray(values).view(np.float32).astype("<i2")


@pytest.fixture(scope="session")
def small_xml(morocco_annotation: Callable[[str, str], bytes]) -> bytes:
    """The real IW1 annotation of 2023-09-04, its image shrunk to 40 lines and 300 samples a burst.

    Only what says how large the image is was changed, and parts that are never read were cut out; it is for
    reading pixels, not for geometry.
    """
    root = etree.fromstring(morocco_annotation("20230904", "IW1"))
    for path in ("qualityInformation", "antennaPattern", ".//fineDceList", ".//noiseList", ".//replicaInformationList"):
        for element in root.findall(path):
            element.getparent().remove(element)
    text = etree.tostring(root).decode()
    for name, value in (
        ("linesPerBurst", 40),
        ("samplesPerBurst", 300),
        ("numberOfLines", 360),
        ("numberOfSamples", 300),
    ):
        start, stop = text.index(f"<{name}>") + len(name) + 2, text.index(f"</{name}>")
        text = f"{text[:start]}{value}{text[stop:]}"
    lines = "40"
    for name, value in (("firstValidSample", "5"), ("lastValidSample", "289")):
        pieces = text.split(f"<{name} ")
        shrunk = [f'count="{lines}">-1 {" ".join([value] * 38)} -1{piece[piece.index("</") :]}' for piece in pieces[1:]]
        text = f"<{name} ".join([pieces[0], *shrunk])
    return text.encode()


@pytest.fixture(scope="session")
def small_safe(small_xml: bytes, morocco_safe: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder with one small image of `pattern` (IW1 VV); do not write into it."""
    real = morocco_safe("20230904")
    folder = tmp_path_factory.mktemp("small") / real.name
    (folder / "annotation").mkdir(parents=True)
    (folder / "measurement").mkdir()
    shutil.copy(real / "manifest.safe", folder)
    (annotation,) = (real / "annotation").glob("s1a-iw1-*")
    (folder / "annotation" / annotation.name).write_bytes(small_xml)
    write_plain_tiff(folder / "measurement" / f"{annotation.stem}.tiff", pattern(np.arange(360), np.arange(300)))
    return folder


@pytest.fixture
def safe_copy(small_safe: Path, tmp_path: Path) -> Path:
    """A copy of `small_safe` that a test may spoil."""
    return Path(shutil.copytree(small_safe, tmp_path / small_safe.name))


def write_plain_tiff(path: Path, values: npt.NDArray[np.complex64]) -> None:
    """Write the measurement as ESA's processor does: CInt16, one strip a line, header first; no library used."""
    lines, samples = values.shape
    entries = 8
    offsets_at = 8 + 2 + 12 * entries + 4
    counts_at = offsets_at + 4 * lines
    data_at = counts_at + 4 * lines
    row = 4 * samples

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return b"".join(n.to_bytes(size, "little") for n, size in ((tag, 2), (kind, 2), (count, 4), (value, 4)))

    head = b"II\x2a\x00" + (8).to_bytes(4, "little") + entries.to_bytes(2, "little")
    head += entry(256, 4, 1, samples) + entry(257, 4, 1, lines) + entry(258, 3, 1, 32) + entry(259, 3, 1, 1)
    head += entry(273, 4, lines, offsets_at) + entry(278, 3, 1, 1) + entry(279, 4, lines, counts_at)
    head += entry(339, 3, 1, 5) + bytes(4)
    offsets = (data_at + row * np.arange(lines)).astype("<u4").tobytes()
    counts = np.full(lines, row, dtype="<u4").tobytes()
    path.write_bytes(head + offsets + counts + as_int16(values).tobytes())


def zipped(folder: Path, target: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Zip a SAFE folder as the archives do, with the folder's name in front."""
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(folder.name) / path.relative_to(folder))
    return target
