"""Bands of a map that follow from orbits, terrain and amplitude, not from the interferogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Float32Array
from insar_mining.coherence.builtin.extras.masks import amplitude_mask, geometry_mask
from insar_mining.coherence.builtin.images.scene import Scene
from insar_mining.coherence.builtin.layers import POWERS
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.geometry.view import cell_heights, local_incidence_map, perpendicular_baseline_map
from insar_mining.sentinel1.noise import read_noise
from insar_mining.sentinel1.product import Product

MAP_BANDS = ("mask", "incidence", "baseline")


def map_bands(
    scene: Scene, products: Sequence[Product], plan: CoherencePlan, layers: Mapping[str, Float32Array]
) -> dict[str, Float32Array]:
    """Compute those bands of a recipe, each on the plan's grid.

    Parameters
    ----------
    products : sequence of Product
        Reference and secondary.
    layers : mapping
        Where the mask is wanted, the mean powers of both dates on the map (`POWERS`).
    """
    wanted = set(plan.recipe.bands) & set(MAP_BANDS)
    out: dict[str, Float32Array] = {}
    if not wanted:
        return out
    name = plan.bursts[0].swath
    swath = scene.swaths[name]
    if "mask" in wanted:
        mask = geometry_mask(swath, plan.grid, scene.dem) | _amplitude_bits(scene, products, plan, layers)
        out["mask"] = mask.astype(np.float32)
    if "incidence" in wanted:
        out["incidence"] = local_incidence_map(swath, plan.grid, scene.dem)
    if "baseline" in wanted:
        first, second = (product.sub_swath(name, plan.polarisation) for product in products)
        out["baseline"] = perpendicular_baseline_map(first, second, plan.grid, cell_heights(plan.grid, scene.dem))
    return out


def _amplitude_bits(
    scene: Scene, products: Sequence[Product], plan: CoherencePlan, layers: Mapping[str, Float32Array]
) -> npt.NDArray[np.uint8]:
    """Return the low signal and water-like cells; none where a product brings no noise annotation."""
    noise = [_noise_map(scene, product, plan, which) for which, product in enumerate(products)]
    if noise[0] is None or noise[1] is None:
        return np.zeros(plan.grid.shape, np.uint8)
    power = layers[POWERS[0]], layers[POWERS[1]]
    heights = cell_heights(plan.grid, scene.dem)
    return amplitude_mask(power, (noise[0], noise[1]), heights, plan.grid.spacing_m)


def _noise_map(scene: Scene, product: Product, plan: CoherencePlan, which: int) -> Float32Array | None:
    """Return the noise power of a date on the cells of the map, None if it is not known.

    It changes over hundreds of pixels, so that the few by which the dates lie apart do not count.
    """
    out = np.full(plan.grid.shape, np.nan, np.float32)
    for pair in plan.bursts:
        field = read_noise(product, pair.swath, plan.polarisation)
        if field is None:
            return None
        shown = scene.shown_by(pair)
        if shown is None:
            continue
        part = shown.rows, shown.columns
        time, slant_range = (values[part][shown.chosen] for values in (scene.look.time_s, scene.look.slant_range_m))
        frame = scene.side(pair).frame
        index = (pair.reference_index, pair.secondary_index)[which]
        line = index * frame.lines + frame.line_of(time)
        out[part][shown.chosen] = field.power(line, frame.sample_of(slant_range))
    return out
