"""Choose the scene to whose geometry all dates of a stack are resampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from insar_mining.coherence.plan.bursts import burst_cuts
from insar_mining.coherence.plan.matching import bursts_over
from insar_mining.errors import CoverageError, OrbitError, ProductError
from insar_mining.geo.elevation_window import Heights
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.terrain import heights_for, probe
from insar_mining.sentinel1.product import Product
from insar_mining.sentinel1.readable import readable_sub_swaths


def choose_stack_reference(
    products: Sequence[Product],
    grid: MapGrid,
    dem: Path,
    *,
    polarisation: str = "VV",
    swaths: Sequence[str] = (),
    dem_heights: Heights = "auto",
) -> Product:
    """Return the first of some products that sees all of a map; if none does, the one that sees most.

    Only annotations are read: a product whose pixels are damaged still gives the geometry.

    Parameters
    ----------
    products : sequence of Product
        Of one track, in the order of preference.
    grid : MapGrid
    dem : path
    swaths : sequence of str
        Sub-swaths to look at; by default all that a product holds.

    Raises
    ------
    CoverageError
        No product sees the map.
    DemError
    """
    best, most, reasons = None, 0.0, []
    for product in products:
        try:
            share = seen_share(product, grid, dem, polarisation, swaths, dem_heights)
        except (ProductError, OrbitError) as error:  # one damaged annotation never stops a stack
            reasons.append(str(error))
            continue
        if share > most:
            best, most = product, share
        if share == 1:
            break
    if best is None:
        raise CoverageError("; ".join([f"none of {len(products)} scenes sees the area", *reasons[:3]]))
    return best


def seen_share(
    product: Product,
    grid: MapGrid,
    dem: Path,
    polarisation: str,
    swaths: Sequence[str] = (),
    dem_heights: Heights = "auto",
) -> float:
    """Return the share of a map that a product sees, 0..1, from a raster of at most 65 x 65 of its cells."""
    names = [name for name, held in product.images if held == polarisation and (not swaths or name in swaths)]
    if not names:
        return 0.0
    available, _ = readable_sub_swaths(product, names, polarisation)
    time, slant_range = probe(available[0], heights_for(grid, dem, dem_heights))
    seen = bursts_over(burst_cuts(available), time, slant_range)
    return sum(int(held.sum()) for _, held in seen) / max(time.size, 1)
