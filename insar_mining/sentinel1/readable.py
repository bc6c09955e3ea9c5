"""Sub-swaths of a product whose annotation is whole: a damaged one that is not needed stops nothing."""

from __future__ import annotations

from collections.abc import Sequence

from insar_mining.errors import InsarMiningError, OrbitError, ProductError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product


def readable_sub_swaths(
    product: Product, names: Sequence[str], polarisation: str
) -> tuple[list[SubSwath], list[InsarMiningError]]:
    """Read sub-swaths of a product; return those whose annotation is whole, and what is wrong with the others.

    Raises
    ------
    ProductError, OrbitError
        None is whole.
    """
    whole: list[SubSwath] = []
    faults: list[InsarMiningError] = []
    for name in names:
        try:
            whole.append(product.sub_swath(name, polarisation))
        except (ProductError, OrbitError) as error:
            faults.append(error)
    if not whole and faults:
        raise faults[0]
    return whole, faults


def any_sub_swath(product: Product, polarisation: str | None = None) -> SubSwath:
    """Return a sub-swath whose annotation is whole, for what all have in common: the orbit, the times.

    Parameters
    ----------
    polarisation : str, optional
        Taken first, if the product holds it.

    Raises
    ------
    ProductError, OrbitError
        None is whole.
    """
    images = sorted(product.images, key=lambda image: image[1] != (polarisation or image[1]).upper())
    first: InsarMiningError | None = None
    for image in images:
        try:
            return product.sub_swath(*image)
        except (ProductError, OrbitError) as error:
            first = first or error
    raise first or ProductError(f"{product.path}: holds no image. Fetch the product again")
