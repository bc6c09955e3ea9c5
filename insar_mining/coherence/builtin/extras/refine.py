"""Choose the bursts used to estimate residual misregistration."""

from __future__ import annotations

from collections.abc import Sequence

from insar_mining.coherence.builtin.extras.misregistration import Shift, estimate_shift
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.builtin.images.scene import Scene
from insar_mining.coherence.plan.matching import BurstPair
from insar_mining.sentinel1.product import Product


def shift_of_date(scene: Scene, product: Product, bursts: Sequence[BurstPair], which: int) -> Shift:
    """Estimate the shift of a date in the sub-swath that covers most of the map.

    Beside the bursts that show the map their neighbours take part, for what they overlap.

    Parameters
    ----------
    product : Product
        The date.
    bursts : sequence of BurstPair
        Of the plan.
    which : int
        0 if the date is the pair's reference, 1 if it is the secondary.

    Raises
    ------
    ProductError
        Pixels cannot be read.
    """
    name = max({pair.swath for pair in bursts}, key=lambda swath: _cells(scene, bursts, swath))
    own, other = scene.swaths[name], product.sub_swath(name, scene.polarisation)
    shown = {pair.stack_index: pair for pair in bursts if pair.swath == name}
    # both dates count the bursts of a pass in one order, so that what matches one burst tells the others
    ahead = {index: (pair.reference_index, pair.secondary_index)[which] - index for index, pair in shown.items()}
    stacks: list[Side] = []
    dates: list[Side | None] = []
    around = {near for index in shown for near in (index - 1, index, index + 1)}
    for index in sorted(around & set(range(len(own.bursts)))):
        there = index + ahead[min(ahead, key=lambda known: abs(known - index))]
        stacks.append(Side(scene.product, own, index))
        dates.append(Side(product, other, there) if 0 <= there < len(other.bursts) else None)
    regions = [scene.region(shown[side.burst_index]) if side.burst_index in shown else None for side in stacks]
    return estimate_shift(stacks, dates, regions, scene.dem)


def _cells(scene: Scene, bursts: Sequence[BurstPair], swath: str) -> int:
    shown = [scene.shown_by(pair) for pair in bursts if pair.swath == swath]
    return sum(int(part.chosen.sum()) for part in shown if part is not None)


def described(shift: Shift) -> str:
    """Describe a shift for the tags of a product: value, standard deviation, method and quality."""
    if shift.method == "none":
        return f"not measured: {shift.reason}"
    text = (
        f"{shift.lines:+.4f} line (sd {shift.lines_sd:.4f}), {shift.samples:+.4f} sample (sd {shift.samples_sd:.4f}); "
        f"{shift.method}, coherence {shift.coherence:.2f}, {shift.used} parts"
    )
    return f"{text}; {shift.reason}" if shift.reason else text
