"""Reference numbers for tests/data/sarsen: zero-Doppler times and ranges by sarsen's backward geocoding.

sarsen (Apache-2.0, PyPI) brings dask, flox and rioxarray with it, so it is no dependency of the tests.
In an environment of its own:

    python -m venv .venv-sarsen && .venv-sarsen/bin/pip install sarsen==0.9.6
    .venv-sarsen/bin/python benchmarks/sarsen/reference.py

Nothing of insar_mining is imported: state vectors are read from the XML here.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyproj
import xarray as xr
from sarsen import geocoding, orbit

DATA = Path(__file__).parents[2] / "tests" / "data"
POINTS = 40
TIME_TOLERANCE_M = 1e-5  # along the track: 1.3 ns


def rows(xml: bytes, rng: np.random.Generator) -> Iterator[tuple[float, float, float, str, float]]:
    """Random ground of a sub-swath, at heights of -100 to 4000 m: longitude, latitude, height, UTC time, range."""
    root = ElementTree.fromstring(xml)
    vectors = root.findall("generalAnnotation/orbitList/orbit")
    times = np.array([vector.findtext("time", "") for vector in vectors], dtype="datetime64[ns]")
    position = [[float(vector.findtext(f"position/{axis}", "")) for axis in "xyz"] for vector in vectors]
    interpolator = orbit.OrbitPolyfitInterpolator.from_position(
        xr.DataArray(position, coords={"azimuth_time": times, "axis": [0, 1, 2]}, dims=("azimuth_time", "axis")),
        deg=7,
    )
    ties = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    lon, lat = (np.array([float(tie.findtext(name, "")) for tie in ties]) for name in ("longitude", "latitude"))
    # a random mixture of three neighbouring tie points lies inside the image
    corners = rng.integers(0, len(ties), size=(POINTS, 3))
    weights = rng.dirichlet(np.ones(3), size=POINTS)
    lon, lat = (np.round((values[corners] * weights).sum(axis=1), 6) for values in (lon, lat))
    height = np.round(rng.uniform(-100, 4000, POINTS), 2)
    ecef = np.stack(pyproj.Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height))
    ground = xr.DataArray(ecef[:, None, :], coords={"axis": [0, 1, 2]}, dims=("axis", "y", "x"))
    seen = geocoding.backward_geocode(ground, interpolator, zero_doppler_distance=TIME_TOLERANCE_M, maxiter=30)
    slant_range = np.sqrt((seen.dem_distance**2).sum("axis")).values[0]
    for one in zip(lon, lat, height, seen.azimuth_time.values[0], slant_range, strict=True):
        yield float(one[0]), float(one[1]), float(one[2]), str(one[3]), round(float(one[4]), 5)


def main() -> None:
    """Write the table."""
    rng = np.random.default_rng(20230904)
    target = DATA / "sarsen" / "backward_geocode.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["date", "swath", "longitude_deg", "latitude_deg", "height_m", "utc", "slant_range_m"])
        for path in sorted((DATA / "morocco").glob("s1a-iw?-slc-vv-*.xml.xz")):
            swath, date = path.name.split("-")[1].upper(), path.name.split("-")[4][:8]
            for row in rows(lzma.decompress(path.read_bytes()), rng):
                table.writerow([date, swath, *row])
    print(f"sarsen {version('sarsen')}: {target}")


if __name__ == "__main__":
    main()
