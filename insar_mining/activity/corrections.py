"""What the span and the baseline of a pair take from its coherence, fitted on the stack itself and given back.

Coherence above the floor of the estimator falls with the days between two images (temporal decorrelation) and with
the square of the perpendicular baseline (heights that the elevation model does not know).  Both are fitted for each
class of ground by itself: rock keeps its coherence for months, bushes lose it in days, and a steep face suffers from
the baseline while a plain does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity.cube.blocks import Key, made_from
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.cube.kernels import scale_excess
from insar_mining.activity.published.scenes import class_means
from insar_mining.arrays import FloatArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError

# time constants that are looked for, days
TAU_DAYS = (1.0, 3650.0)

# least pairs for a fit of a decay or a loss
ENOUGH_PAIRS = 4


@dataclass(frozen=True)
class DecayFit:
    """Hold coherence of one class of ground against the span of the pair.

    ``floor + (initial - floor) * (lasting + (1 - lasting) * exp(-days / tau_days))``

    Attributes
    ----------
    initial : float
        Coherence that a span of 0 days would have.
    lasting : float, 0..1
        Share of it (above the floor) that no span takes away; 0, and not fitted, where there are only two spans.
    tau_days : float
        Time constant.
    initial_sd, lasting_sd, tau_sd_days : float
        Standard errors, NaN for what was not fitted or could not be told apart.
    floor : float
        Of the estimator, given.
    residual_sd : float
        Of the pairs about the curve.
    n_pairs : int
    spans_days : (int, int)
        Shortest and longest span; nothing is known beyond.
    """

    initial: float
    lasting: float
    tau_days: float
    initial_sd: float
    lasting_sd: float
    tau_sd_days: float
    floor: float
    residual_sd: float
    n_pairs: int
    spans_days: tuple[int, int]

    def share(self, days: npt.ArrayLike) -> FloatArray:
        """Return the share of the initial coherence, above the floor, that is left after a span, 0..1."""
        return np.asarray(self.lasting + (1 - self.lasting) * np.exp(-np.asarray(days, np.float64) / self.tau_days))

    def expected(self, days: npt.ArrayLike) -> FloatArray:
        """Return the coherence that a pair of that span is expected to have."""
        return np.asarray(self.floor + (self.initial - self.floor) * self.share(days))


@dataclass(frozen=True)
class BaselineFit:
    """Hold loss of one class of ground with the perpendicular baseline: a factor ``exp(-loss_per_m2 * baseline_m**2)``.

    Attributes
    ----------
    loss_per_m2 : float
        Not negative.
    loss_sd_per_m2 : float
        Standard error.
    level : float
        Coherence above the floor without any baseline.
    floor : float
    n_pairs : int
    longest_m : float
        Longest baseline; nothing is known beyond.
    """

    loss_per_m2: float
    loss_sd_per_m2: float
    level: float
    floor: float
    n_pairs: int
    longest_m: float

    def factor(self, baseline_m: npt.ArrayLike) -> FloatArray:
        """Return what a baseline leaves of the coherence above the floor, 0..1."""
        return np.asarray(np.exp(-self.loss_per_m2 * np.asarray(baseline_m, np.float64) ** 2))


def fit_decay(days: npt.ArrayLike, coherence: npt.ArrayLike, *, floor: float = 0.0) -> DecayFit:
    """Fit the decay of coherence with the span of the pairs.

    Parameters
    ----------
    days : array-like, shape (pairs,)
    coherence : array-like, shape (pairs,)
        Mean over some ground that was not worked; NaN pairs are left out.
    floor : float, in 0..1
        What the estimator reads on ground without any coherence (0.34 for 7 looks).

    Returns
    -------
    DecayFit

    Raises
    ------
    ActivityError
        Fewer than four pairs, or all of one span.

    Warns
    -----
    FewObservationsWarning
        No decay is seen, or it is longer or shorter than the spans can tell.

    Notes
    -----
    Least squares. The curve is linear in two of its three numbers, so that for every time constant the best
    of both is exact (non-negative least squares), and only the time constant is searched for, from 1 to 3650
    days. Exponential decay: Rocca 2007, doi:10.1109/TGRS.2007.902286; to a part that lasts: Ansari et al. 2017,
    doi:10.1109/TGRS.2017.2711037.
    """
    t, c = np.asarray(days, np.float64), np.asarray(coherence, np.float64)
    if not 0 <= floor < 1:
        raise OptionError(f"floor={floor}: must be >= 0 and < 1")
    use = np.isfinite(t) & np.isfinite(c)
    t, excess = t[use], c[use] - floor
    spans = np.unique(t)
    if t.size < ENOUGH_PAIRS or spans.size < 2:
        raise ActivityError(
            f"a decay needs {ENOUGH_PAIRS} pairs of two spans or more; there are {t.size} pairs of "
            f"{', '.join(f'{span:g}' for span in spans[:5]) or 'no'} days. Add pairs of a longer span, or leave "
            "the correction out"
        )
    if excess.max() <= 0:
        raise ActivityError(
            f"no pair has a mean coherence above the floor of {floor:g} (the best {excess.max() + floor:.3f}): "
            "there is no decay to fit on this ground"
        )
    two_spans = spans.size == 2
    tau = _best_tau(t, excess, two_spans)
    part, lost = _parts(t, excess, tau, two_spans)
    initial = part + lost
    lasting = part / initial if initial > 0 else 0.0
    errors = _decay_errors(t, excess, initial, lasting, tau, two_spans)
    _warn_of_decay(tau, lost, spans)
    residual = excess - initial * (lasting + (1 - lasting) * np.exp(-t / tau))
    return DecayFit(
        initial=floor + initial,
        lasting=lasting,
        tau_days=tau,
        initial_sd=errors[0],
        lasting_sd=errors[1],
        tau_sd_days=errors[2],
        floor=float(floor),
        residual_sd=float(np.sqrt((residual**2).mean())),
        n_pairs=int(t.size),
        spans_days=(int(spans[0]), int(spans[-1])),
    )


def _parts(t: FloatArray, excess: FloatArray, tau: float, two_spans: bool) -> tuple[float, float]:
    """Solve for the lasting part and the part that is lost, neither negative, for one time constant."""
    from scipy.optimize import nnls  # here and below: 50 MB that only a fit needs

    falling = np.exp(-t / tau)
    design = np.column_stack([np.zeros_like(t) if two_spans else np.ones_like(t), falling])
    part, lost = nnls(design, excess)[0]
    return float(part), float(lost)


def _best_tau(t: FloatArray, excess: FloatArray, two_spans: bool) -> float:
    from scipy.optimize import minimize_scalar

    def misfit(log_tau: float) -> float:
        part, lost = _parts(t, excess, float(np.exp(log_tau)), two_spans)
        return float(((excess - part - lost * np.exp(-t / np.exp(log_tau))) ** 2).sum())

    grid = np.linspace(np.log(TAU_DAYS[0]), np.log(TAU_DAYS[1]), 200)
    best = int(np.argmin([misfit(point) for point in grid]))
    around = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    return float(np.exp(minimize_scalar(misfit, bounds=around, method="bounded", options={"xatol": 1e-7}).x))


def _decay_errors(
    t: FloatArray, excess: FloatArray, initial: float, lasting: float, tau: float, two_spans: bool
) -> tuple[float, float, float]:
    """Return standard errors of initial, lasting and tau from the curvature at the best fit, NaN without any."""
    falling = np.exp(-t / tau)
    columns = [
        lasting + (1 - lasting) * falling,
        initial * (1 - falling),
        initial * (1 - lasting) * falling * t / tau**2,
    ]
    fitted = [0, 2] if two_spans else [0, 1, 2]
    jacobian = np.column_stack([columns[number] for number in fitted])
    freedom = t.size - len(fitted)
    result = np.full(3, np.nan)
    if freedom > 0 and np.linalg.matrix_rank(jacobian) == len(fitted):
        residual = excess - initial * columns[0]
        variance = (residual**2).sum() / freedom * np.diag(np.linalg.inv(jacobian.T @ jacobian))
        result[fitted] = np.sqrt(variance)
    return float(result[0]), float(result[1]), float(result[2])


def _warn_of_decay(tau: float, lost: float, spans: FloatArray) -> None:
    nothing = lost <= 0 or tau > 0.99 * TAU_DAYS[1]
    if nothing or tau < 1.01 * TAU_DAYS[0]:
        seen = "no decay is seen" if nothing else "all decay lies before the shortest span"
        warnings.warn(
            f"{seen} between spans of {spans[0]:g} and {spans[-1]:g} days (time constant {tau:.0f} days): pairs of "
            "other spans are expected to have the same coherence",
            FewObservationsWarning,
            stacklevel=3,
        )


def fit_baseline(
    baseline_m: npt.ArrayLike, coherence: npt.ArrayLike, *, left: npt.ArrayLike = 1.0, floor: float = 0.0
) -> BaselineFit:
    """Fit the loss of coherence with the square of the perpendicular baseline.

    Parameters
    ----------
    baseline_m : array-like, shape (pairs,)
        With or without sign.
    coherence : array-like, shape (pairs,)
        Mean over some ground that was not worked; NaN pairs, and those at or below the floor, are left out.
    left : array-like, shape (pairs,), optional
        What the span leaves of the coherence above the floor (`DecayFit.share`); divided out first.
    floor : float

    Returns
    -------
    BaselineFit

    Raises
    ------
    ActivityError
        Fewer than four pairs have a baseline, or all the same one.

    Notes
    -----
    Linear regression of ``ln((coherence - floor) / left)`` on the square of the baseline; a loss below 0 is
    set to 0. A slope that the elevation model does not know spreads the phase within the window in proportion to
    the baseline, and to second order in it the coherence falls as ``exp(-k B**2)``: a face of 37 degrees keeps 0.974 at
    100 m, 0.941 at 150 m and 0.842 at 250 m, which is k = 2.6e-6 to 2.8e-6 per m2.
    """
    b, c = np.asarray(baseline_m, np.float64), np.asarray(coherence, np.float64)
    left = np.broadcast_to(np.asarray(left, np.float64), c.shape)
    known = np.isfinite(b)
    use = known & np.isfinite(c) & (c > floor) & (left > 0)
    squares = b[use] ** 2
    if use.sum() < ENOUGH_PAIRS or np.ptp(squares) == 0:
        raise ActivityError(
            f"a loss with the baseline needs {ENOUGH_PAIRS} pairs of different baselines; {int(known.sum())} of "
            f"{b.size} pairs have a baseline, {int(use.sum())} of them and coherence above {floor:g}. Leave the "
            "correction out, or give maps that record PERPENDICULAR_BASELINE_M"
        )
    y = np.log((c[use] - floor) / left[use])
    centred = squares - squares.mean()
    slope = float((centred * y).sum() / (centred**2).sum())
    residual = y - y.mean() - slope * centred
    sd = float(np.sqrt((residual**2).sum() / (y.size - 2) / (centred**2).sum()))
    slope = min(slope, 0.0)
    return BaselineFit(
        loss_per_m2=-slope,
        loss_sd_per_m2=sd,
        level=float(np.exp(y.mean() - slope * squares.mean())),
        floor=float(floor),
        n_pairs=int(use.sum()),
        longest_m=float(np.sqrt(squares.max())),
    )


def decay_by_class(
    coh: xr.DataArray, classes: xr.DataArray, *, floor: float = 0.0, block_bytes: int | None = None
) -> dict[int, DecayFit]:
    """Fit the decay of every class of ground on the spatial means of the pairs.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        With the coordinate ``days``; only pairs to use, without snow.
    classes : DataArray (y, x) of bool or integers
        Ground that was not worked: stable points, or classes of vegetation or rock; False or a negative number
        for the rest.
    floor : float
        See `fit_decay`.

    Returns
    -------
    dict
        Class -> DecayFit; 1 alone for an array of bool.

    Raises
    ------
    ActivityError
        As of `fit_decay`; the message names the class.
    """
    labels, mean, _ = class_means(coh, classes, block_bytes=block_bytes)
    days = _per_pair(coh, "days")
    fits = {}
    for label, values in zip(labels, mean, strict=True):
        try:
            fits[label] = fit_decay(days, values, floor=floor)
        except ActivityError as error:
            raise ActivityError(f"class {label}: {error}") from None
    return fits


def baseline_by_class(
    coh: xr.DataArray,
    classes: xr.DataArray,
    decay: Mapping[int, DecayFit] | None = None,
    *,
    floor: float = 0.0,
    block_bytes: int | None = None,
) -> dict[int, BaselineFit]:
    """Fit the loss with the baseline of every class of ground (of slope, say).

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        With the coordinates ``perpendicular_baseline_m`` and, with `decay`, ``days``.
    classes : DataArray (y, x) of bool or integers
        Ground that was not worked, by slope; False or a negative number for the rest.
    decay : mapping, optional
        Of `decay_by_class` for the same classes; divided out first.
    floor : float

    Returns
    -------
    dict
        Class -> BaselineFit.

    Raises
    ------
    ActivityError
        As of `fit_baseline`; the message names the class.
    """
    labels, mean, _ = class_means(coh, classes, block_bytes=block_bytes)
    baseline = _per_pair(coh, "perpendicular_baseline_m")
    fits = {}
    for label, values in zip(labels, mean, strict=True):
        left = 1.0 if decay is None else decay[label].share(_per_pair(coh, "days"))
        try:
            fits[label] = fit_baseline(baseline, values, left=left, floor=floor)
        except ActivityError as error:
            raise ActivityError(f"class {label}: {error}") from None
    return fits


def to_span(
    coh: xr.DataArray, decay: Mapping[int, DecayFit], classes: xr.DataArray | None = None, *, days: int = 12
) -> xr.DataArray:
    """Bring every pair to the coherence that it would have with another span.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        With the coordinate ``days``.
    decay : mapping of class to DecayFit
        Of `decay_by_class`.
    classes : DataArray (y, x) of integers or bool, optional
        Class of every cell; cells of no class, or of one without a fit, stay as they are. Default: the one fit
        holds for all cells.
    days : int
        Span to bring the pairs to; pairs of that span stay as they are, to the bit.

    Returns
    -------
    DataArray (pair, y, x), float32
        Made when it is read; not above 1. The coordinate ``days`` still says the pair's own span; the attribute
        ``brought_to_days`` says what was done.

    Notes
    -----
    What lies above the floor is multiplied by ``share(days) / share(span)``. Coherence at or below the floor,
    of worked ground, stays: a longer span did not make it, and none can give it back. Its scatter above the floor
    is lifted all the same: where the correction lifts stable ground by 0.11, ground without coherence gains 0.026
    with the floor of its 7 looks, and 0.062 with a floor of 0.
    """
    span = _per_pair(coh, "days")
    factors = {label: np.where(span == days, 1.0, fit.share(days) / fit.share(span)) for label, fit in decay.items()}
    corrected = _scaled(coh, factors, classes, {fit.floor for fit in decay.values()})
    corrected.attrs["brought_to_days"] = int(days)
    return corrected


def without_baseline_loss(
    coh: xr.DataArray, loss: Mapping[int, BaselineFit], classes: xr.DataArray | None = None
) -> xr.DataArray:
    """Give every pair back what its perpendicular baseline took.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        With the coordinate ``perpendicular_baseline_m``.
    loss : mapping of class to BaselineFit
        Of `baseline_by_class`.
    classes : DataArray (y, x) of integers or bool, optional
        As of `to_span`.

    Returns
    -------
    DataArray (pair, y, x), float32
        Made when it is read; not above 1.

    Raises
    ------
    ActivityError
        A pair has no baseline.
    """
    baseline = _per_pair(coh, "perpendicular_baseline_m")
    if not np.isfinite(baseline).all():
        raise ActivityError(
            f"{int((~np.isfinite(baseline)).sum())} of {baseline.size} pairs have no perpendicular baseline. Leave "
            "them or the correction out."
        )
    factors = {label: 1 / fit.factor(baseline) for label, fit in loss.items()}
    corrected = _scaled(coh, factors, classes, {fit.floor for fit in loss.values()})
    corrected.attrs["baseline_loss_removed"] = 1
    return corrected


def _per_pair(coh: xr.DataArray, name: str) -> FloatArray:
    if name not in coh.coords:
        raise ActivityError(f"the cube has no coordinate {name!r} on its pairs. Open it with open_stack.")
    return coh[name].values.astype(np.float64)


def _scaled(
    coh: xr.DataArray, factors: Mapping[int, FloatArray], classes: xr.DataArray | None, floors: set[float]
) -> xr.DataArray:
    """Scale the excess over the floor by a factor for each class and pair."""
    check_cube(coh)
    if len(floors) != 1:
        raise OptionError(f"the fits have the floors {sorted(floors)}. Make all with one floor.")
    if classes is None and len(factors) != 1:
        raise OptionError(f"there are fits of {len(factors)} classes. Give the class of each cell (classes=).")
    labels = sorted(factors)
    factor = np.stack([factors[label] for label in labels])
    if classes is None:
        group = np.zeros(coh.shape[1:], np.int64)
    else:
        check_same_cells(coh, classes, "classes")
        values = np.asarray(classes.values).astype(np.int64)
        group = np.full(values.shape, -1, np.int64)
        for number, label in enumerate(labels):
            group[values == label] = number
    (floor,) = floors

    def make(values: npt.NDArray[np.float32], key: Key) -> npt.NDArray[np.float32]:
        here = group[key[1]][:, key[2]]
        flat = values.reshape(values.shape[0], here.size)
        scale = np.ascontiguousarray(factor[:, key[0]])
        return np.asarray(scale_excess(flat, here.ravel(), scale, floor).reshape(values.shape))

    return made_from(coh, make)
