"""Read small files that stand for something large, each in a process of its own.

``python -m tests.fuzz.memory FOLDER [NAME ...]`` prints a JSON object: for every file its bytes, what became of it, and
the most memory that its process had, megabytes.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from insar_mining.activity import open_stack
from insar_mining.activity.explain import read_covariates
from insar_mining.activity.sample import read_sample
from insar_mining.errors import InsarMiningError
from insar_mining.geo.elevation import read_dem
from insar_mining.geo.mines import read_mines
from insar_mining.options.models import RunOptions, read_options
from insar_mining.pipeline.tonnes import read_table
from insar_mining.portfolio import monitor
from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.sentinel1.manifest import parse_manifest
from insar_mining.sentinel1.orbit import read_orbit_file
from insar_mining.sentinel1.product import open_product
from tests.fuzz import products

AREA = (-8.79, 31.79, -8.77, 31.81)
MOST_BYTES = 2_000_000
Case = tuple[Callable[[Path], None], Callable[[Path], Any]]


def sparse(
    path: Path, side: int, dtype: str, crs: str | None, corner: tuple[float, float], step: float, **how: Any
) -> None:
    """Write a raster without a single block in it: some hundred kilobytes whatever its size."""
    profile = {
        "driver": "GTiff",
        "count": 1,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "SPARSE_OK": True,
        **how,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            width=side,
            height=side,
            dtype=dtype,
            crs=crs,
            transform=from_origin(*corner, step, step),
            **profile,
        ):
            pass


def text(name: str, content: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return make


def zeros_in_zip(name: str, member: str, count: int, *, lie: bool = False) -> Callable[[Path], None]:
    """Write a zip whose member is very long; its directory may say that it is short."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(member, "w", force_zip64=False) as stream:
                for _ in range(count):
                    stream.write(bytes(1 << 20))
            if lie:
                archive.getinfo(member).file_size = 100

    return make


def stack(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        (folder / "maps").mkdir()
        make(folder / "maps")

    return both


def measurement(folder: Path) -> None:
    safe = folder / f"{products.NAME}.SAFE"
    products.make_safe(safe)
    annotation = safe / "annotation" / f"{products.STEM}.xml"
    xml = annotation.read_text("utf-8")
    for old, new in ((f"<linesPerBurst>{products.LINES}<", "<linesPerBurst>9000<"),
                     (f"<samplesPerBurst>{products.SAMPLES}<", "<samplesPerBurst>90000<")):  # fmt: skip
        xml = xml.replace(old, new)
    for name, value in (("firstValidSample", "3"), ("lastValidSample", "89000")):
        pieces = xml.split(f"<{name}")
        pieces[1:] = [f">{' '.join([value] * 9000)}{piece[piece.index('</') :]}" for piece in pieces[1:]]
        xml = f"<{name}".join(pieces)
    annotation.write_text(xml, encoding="utf-8")
    sparse(safe / "measurement" / f"{products.STEM}.tiff", 90_000, "complex_int16", None, (0, 0), 1)


def read_first_burst(folder: Path) -> Any:
    return open_product(folder / f"{products.NAME}.SAFE").read_burst("IW1", "VV", 0)


def shapefile(folder: Path) -> None:
    """A record that says it has a hundred million points."""
    header = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 100) + struct.pack(
        "<2i8d", 1000, 5, *[-10.0, 30, 10, 40, 0, 0, 0, 0]
    )
    record = struct.pack(">2i", 1, 2_000_000_000) + struct.pack("<i4d2i", 5, -10, 30, 10, 40, 50_000_000, 100_000_000)
    (folder / "m.shp").write_bytes(header + record + bytes(1000))
    (folder / "m.shx").write_bytes(header + struct.pack(">2i", 50, 2_000_000_000))


def active_ground(folder: Path) -> None:
    """What `update` keeps of a result, with an array of two gigabytes."""
    (folder / monitor.FOLDER).mkdir()
    (folder / monitor.FOLDER / monitor.STATE).write_text('{"pairs": []}', encoding="utf-8")
    with zipfile.ZipFile(
        folder / monitor.FOLDER / monitor.ACTIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        with archive.open("active.npy", "w") as stream:
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "|b1", "fortran_order": False, "shape": (400, 1 << 20)}
            )
            for _ in range(400):
                stream.write(bytes(1 << 20))
        archive.writestr("cell_m.npy", b"")


def netcdf(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "20210105_20210117.nc", "w") as content:
        content.create_dataset(
            "coherence", (30_000, 30_000), "f4", chunks=(30_000, 30_000), compression="gzip", fillvalue=0.5
        )
        content["y"], content["x"] = 3.5e6 - 20.0 * np.arange(30_000), 5e5 + 20.0 * np.arange(30_000)
        for axis, name in enumerate(("y", "x")):
            content[name].make_scale(name)
            content["coherence"].dims[axis].attach_scale(content[name])
        content["crs"] = 0
        content["crs"].attrs["crs_wkt"] = rasterio.crs.CRS.from_epsg(32629).to_wkt()
        content["coherence"].attrs["grid_mapping"] = "crs"


def header_only(folder: Path) -> None:
    """A raw raster of 40 GB by its header, with a file of 100 bytes."""
    (folder / "20210105_20210117.coh").write_bytes(bytes(100))
    (folder / "20210105_20210117.hdr").write_text(
        "ENVI\nsamples = 100000\nlines = 100000\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
        "data type = 4\ninterleave = bsq\nbyte order = 0\nmap info = {UTM, 1, 1, 500000, 3500000, 20, 20, 29, North}\n"
    )


def of_maps(folder: Path) -> Any:
    return np.asarray(open_stack(folder / "maps").isel(y=slice(0, 50), x=slice(0, 50)).values)


def mine_in(folder: Path) -> Any:
    (path,) = (path for path in folder.iterdir() if path.suffix not in (".shx", ".dbf"))
    return read_mines(path)


EPOCH = np.datetime64("2022-09-18", "ns")
ONE_LINE = "1," * 900_000 + "1"
POINTS = ",".join("[0,0]" for _ in range(330_000))
BRACKETS = "[" * 990_000 + "]" * 990_000
LAUGHS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(60))
CASES: dict[str, Case] = {
    "elevation model": (
        lambda f: sparse(f / "dem.tif", 20_000, "float32", "EPSG:4326", (-9.0, 32.0), 2e-5),
        lambda f: read_dem(f / "dem.tif", (-8.99, 31.62, -8.62, 31.99)),
    ),
    "elevation model of bytes": (
        lambda f: sparse(f / "dem.tif", 60_000, "uint8", "EPSG:4326", (-9.0, 32.0), 1e-5),
        lambda f: read_dem(f / "dem.tif", (-8.99, 31.42, -8.42, 31.99)),
    ),
    "elevation model to resample": (
        lambda f: sparse(f / "dem.tif", 19_000, "float64", "EPSG:32629", (500_000, 3_600_000), 1),
        lambda f: read_dem(f / "dem.tif", (-8.99, 32.4, -8.85, 32.52)),
    ),
    "map": (
        stack(lambda f: sparse(f / "20210105_20210117.tif", 60_000, "float32", "EPSG:32629", (5e5, 3.5e6), 20)),
        of_maps,
    ),
    "map in one block": (
        stack(
            lambda f: sparse(
                f / "20210105_20210117.tif", 60_000, "float32", "EPSG:32629", (5e5, 3.5e6), 20,
                blockxsize=59_904, blockysize=59_904,
            )
        ),
        of_maps,
    ),
    "map in HDF5": (stack(netcdf), of_maps),
    "map of a header": (stack(header_only), of_maps),
    "measurement": (measurement, read_first_burst),
    "mine in a zip": (zeros_in_zip("m.zip", "m.geojson", 450), mine_in),
    "mine in a zip that lies": (zeros_in_zip("m.zip", "m.geojson", 450, lie=True), mine_in),
    "mine in a KMZ": (zeros_in_zip("m.kmz", "doc.kml", 450, lie=True), mine_in),
    "mine of points": (text("m.geojson", f'{{"type":"Polygon","coordinates":[[{POINTS}]]}}'), mine_in),
    "mine of brackets": (text("m.geojson", f'{{"type":"Polygon","coordinates":{BRACKETS}}}'), mine_in),
    "mine of features": (
        text(
            "m.geojson",
            '{"type":"FeatureCollection","features":['
            + ",".join(['{"type":"Feature","properties":{},"geometry":null}'] * 35_000)
            + "]}",
        ),
        mine_in,
    ),
    "mine of attributes": (
        text("m.geojson", '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{'
             + ",".join(f'"a{i}":1' for i in range(150_000)) + '},"geometry":null}]}'),
        mine_in,
    ),
    "mine in WKT": (text("m.csv", 'id,wkt\n1,"POLYGON((' + ",".join(["0 0"] * 490_000) + '))"\n'), mine_in),
    "mine in columns": (text("m.csv", "wkt," + ONE_LINE + "\nPOINT(0 0)," + "\n"), mine_in),
    "shapefile": (shapefile, mine_in),
    "options": (text("o.yaml", LAUGHS),
                lambda f: read_options(f / "o.yaml", RunOptions)),
    "options of brackets": (text("o.yaml", "a: " + "[" * 900_000), lambda f: read_options(f / "o.yaml", RunOptions)),
    "options of lists": (text("o.yaml", f"a: [{ONE_LINE[:980_000]}]"),
                         lambda f: read_options(f / "o.yaml", RunOptions)),
    "manifest": (text("m.safe", "<XFDU>" + "<a/>" * 490_000 + "</XFDU>"),
                 lambda f: parse_manifest((f / "m.safe").read_bytes(), source="m.safe")),
    "annotation": (text("a.xml", "<product>" + "<a b=''/>" * 210_000 + "</product>"),
                   lambda f: parse_annotation((f / "a.xml").read_bytes(), source="a.xml")),
    "orbit file": (text("o.EOF", "<Earth_Explorer_File>" + "<OSV/>" * 320_000 + "</Earth_Explorer_File>"),
                   lambda f: read_orbit_file(f / "o.EOF", epoch=EPOCH, start_s=0, stop_s=1)),
    "production": (text("p.csv", ONE_LINE + "\n" + "1\n"), lambda f: read_table(f / "p.csv")),
    "sample": (text("p.csv", ONE_LINE + "\n" + "1\n"), lambda f: read_sample(f / "p.csv")),
    "covariates": (text("p.csv", ONE_LINE + "\n" + "1\n"), lambda f: read_covariates(f / "p.csv")),
    "active ground": (active_ground, monitor._state),
}  # fmt: skip


def peak_mb() -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measured(case: Case, folder: Path) -> tuple[int, str, float]:
    """Make a file and read it in a child of this process; its bytes, the outcome and the child's peak."""
    make, use = case
    folder.mkdir()
    make(folder)
    size = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        outcome = "read"
        try:
            warnings.simplefilter("ignore")
            use(folder)
        except InsarMiningError as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"raw {type(error).__name__}: {traceback.format_exc()[-300:]}"
        os.write(writing, json.dumps([outcome, peak_mb()]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    outcome, peak = json.loads(said) if said else ("died", 0.0)
    return size, outcome, round(peak, 1)


def main() -> None:
    home = Path(sys.argv[1])
    chosen = sys.argv[2:] or list(CASES)
    print(json.dumps({name: measured(CASES[name], home / str(i)) for i, name in enumerate(chosen)}, indent=1))


if __name__ == "__main__":
    main()
