"""Make ``insar_mining/data/land_cells.tif``: which cells of one degree hold land.

    python scripts/make_land_cells.py

The source is the land mask of 30 arc-seconds of the GLOBE elevation model (NOAA National Centers for
Environmental Information, doi:10.7289/V52R3PMS; public domain), as the package ``global-land-mask`` 1.0.0
(MIT) distributes it: ``pip install global-land-mask==1.0.0``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy.ndimage import maximum_filter

CELLS = 120  # mask cells of 30" along one degree
NEAR = 6  # mask cells (5.6 km of latitude) by which land may lie beside where the mask has it
MUCH = 100  # mask cells of land (some 80 km2 at the equator) that no shift of the mask explains
TARGET = Path(__file__).parents[1] / "insar_mining" / "data" / "land_cells.tif"


def land_cells(is_land: np.ndarray) -> np.ndarray:
    """Return 0 (sea), 1 (land inside or within 6 mask cells) or 2 (100 mask cells of land and more) per degree."""
    inside = is_land.reshape(180, CELLS, 360, CELLS).sum(axis=(1, 3))
    near = maximum_filter(is_land, size=2 * NEAR + 1, mode=("nearest", "wrap"))
    touched = near.reshape(180, CELLS, 360, CELLS).any(axis=(1, 3))
    return np.where(inside >= MUCH, 2, touched).astype(np.uint8)


def main() -> None:
    """Read the mask of the installed package and write the cells, north first."""
    from global_land_mask import globe

    mask = np.load(Path(globe.__file__).with_name("globe_combined_mask_compressed.npz"))
    assert mask["lat"][0] > mask["lat"][-1]
    assert mask["lon"][0] < mask["lon"][-1]
    cells = land_cells(~mask["mask"])  # the mask is true on water
    profile = {
        "driver": "GTiff", "width": 360, "height": 180, "count": 1, "dtype": "uint8", "crs": "EPSG:4326",
        "transform": from_origin(-180, 90, 1, 1), "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(TARGET, "w", **profile) as file:
        file.write(cells, 1)
        file.update_tags(SOURCE="GLOBE 1.0 (NOAA NCEI, public domain), land mask of 30 arc-seconds")
        file.set_band_description(1, "0 sea, 1 land in it or within 3 arc-minutes, 2 at least 100 mask cells of land")


if __name__ == "__main__":
    main()
