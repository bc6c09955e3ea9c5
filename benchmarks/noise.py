"""Products of full burst size with noise for pixels, for the benchmarks: speed does not depend on what pixels say."""

from __future__ import annotations

import datetime as dt
import lzma
import os
import platform
from pathlib import Path

import numpy as np
from shapely.geometry import Polygon

from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate.annotation_xml import Cut, cut_annotation, later_product, with_pixels
from insar_mining.simulate.safe import Image, SafeWriter, file_stem, tie_points, tiff_header

MOROCCO = Path(__file__).parent.parent / "tests" / "data" / "morocco"
DATES = ("20230904", "20230916")
BURST = 4
EPSG = 32629


def write_burst(
    folder: Path, date: str, rng: np.random.Generator, *, days: int = 0, pixels: Path | None = None
) -> Path:
    """Write a SAFE with burst 5 of IW1 (1507 x 23055, VV) of the Morocco pair, zero outside its valid samples.

    Parameters
    ----------
    days : int
        Distance from the real date, a multiple of 12.
    pixels : Path, optional
        Measurement of an earlier product, to be linked to instead of making new noise.
    """
    (packed,) = MOROCCO.glob(f"s1a-iw1-slc-vv-{date}t*.xml.xz")
    (manifest,) = MOROCCO.glob(f"*SDV_{date}T*.manifest.safe.xz")
    whole = later_product(lzma.decompress(packed.read_bytes()), days=days)
    samples = parse_annotation(whole, source=packed.name).samples_per_burst
    annotation = cut_annotation(whole, Cut(BURST, BURST + 1, 0, samples))
    swath = parse_annotation(annotation, source=packed.name)
    header = tiff_header(swath.lines_per_burst, samples, tie_points(swath), dt.datetime(2023, 9, 16))
    annotation = with_pixels(annotation, first_byte=len(header), mean=0j, deviation=(60.0, 60.0))
    writer = SafeWriter(folder)
    tiff = writer.partial / "measurement" / f"{file_stem(swath, annotation)}.tiff"
    if pixels is not None:
        os.link(pixels, tiff)
    else:
        burst = swath.bursts[0]
        noise = np.zeros((swath.lines_per_burst, samples, 2), dtype="<i2")
        valid = noise[burst.valid_lines, burst.valid_samples]
        valid[:] = rng.normal(scale=60, size=valid.shape)
        tiff.write_bytes(header + noise.tobytes())
    text = lzma.decompress(manifest.read_bytes())
    return writer.finish([Image(swath, annotation, tiff)], text, days=days, zipped=False)


def machine() -> str:
    """Name the machine for a table: processor, cores, Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    named = ", ".join(part for part in (platform.machine(), model) if part)
    return f"{named}, {os.cpu_count()} cores, Python {platform.python_version()}"


def outline(safe: Path) -> Polygon:
    """Return the valid ground of the burst, from the tie points of its annotation."""
    grid = open_product(safe).sub_swath("IW1", "VV").geolocation
    rim = [(0, 0), (0, -1), (-1, -1), (-1, 0)]
    return Polygon([(grid.longitude_deg[i], grid.latitude_deg[i]) for i in rim])
