"""The loops of the decision against the same steps written plainly, a cell at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import interpolate

from insar_mining.activity.significant.decision import (
    CORE,
    CORE_WEIGHT,
    FEW_SLACK,
    LEVEL_REACH,
    LOW,
    NEAR,
    POOLED_PAIRS,
    REACH,
    SEAM,
    SUPPORT,
    decide,
)
from insar_mining.activity.significant.local_scores import (
    MOST_RATIO,
    NEARLY,
    OWN_LEVEL_PAIRS,
    OWN_LEVEL_SHARE,
    UNKNOWN,
    LookTables,
    local_means,
    local_scores,
    look_tables,
    own_ratio,
    score_counts,
)
from insar_mining.coherence.estimators.statistics import SCORE_TRUE_MAX

FloatArray = npt.NDArray[np.float64]
PAIRS, ROWS, COLS = 9, 26, 31


@pytest.fixture(scope="module")
def tables() -> LookTables:
    return look_tables(7.0)


@pytest.fixture(scope="module", params=["one reference", "each cell its own"])
def block(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Coherence of ground of three kinds with a pit, a face that moves on and holes, and what it is decided against."""
    rng = np.random.default_rng(8)
    values = rng.normal(0.9, 0.04, (PAIRS, ROWS, COLS))
    values[:, :, :7] -= 0.25
    values[::2, 9:17, 12:20] = rng.normal(0.33, 0.12, values[::2, 9:17, 12:20].shape)
    for p in range(PAIRS):
        values[p, 20:, 2 * p : 2 * p + 4] = rng.normal(0.35, 0.12, values[p, 20:, 2 * p : 2 * p + 4].shape)
    values[rng.random(values.shape) < 0.02] = np.nan
    values[:, 11, 14] = np.nan
    stable = rng.uniform(0.86, 0.94, PAIRS)
    spans = np.where(np.arange(PAIRS) % 3 == 1, 2.0, 1.0)
    if request.param != "one reference":
        stable = np.asarray(stable[:, None, None] * rng.uniform(0.95, 1.0, (ROWS, COLS)), np.float32)
    return {"values": values.clip(0, 1).astype(np.float32), "stable": stable, "spans": spans}


def at(table: FloatArray, x: float) -> float:
    return float(np.interp(x, np.linspace(0, 1, table.size), table))


def around(y: int, x: int, reach: int) -> tuple[slice, slice]:
    return slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1)


def rest(stable: float, ratio: float, span: float) -> float:
    return min(stable * (1.0 if ratio == UNKNOWN else ratio**span), SCORE_TRUE_MAX)


def plain_ratio(mean: FloatArray, stable: FloatArray, spans: FloatArray, tables: LookTables) -> FloatArray:
    ratio = np.full(mean.shape[1:], UNKNOWN)
    for y, x in np.ndindex(*ratio.shape):
        series = mean[:, y, x]
        middle = np.array([(at(tables.expected, s) + tables.expected[0]) / 2 for s in stable[:, y, x]])
        up, n = series >= middle, int(np.isfinite(series).sum())
        if n >= OWN_LEVEL_PAIRS and up.sum() >= max(2, OWN_LEVEL_SHARE * n):
            level = at(tables.true, series[up].mean()) / stable[up, y, x].mean()
            ratio[y, x] = min(max(level, 1e-3) ** (1 / spans[up].mean()), MOST_RATIO)
    return ratio


def plain_decision(
    mean: FloatArray,
    scores: FloatArray,
    stable: FloatArray,
    spans: FloatArray,
    ratio: FloatArray,
    tables: LookTables,
    critical: float,
    min_loss: float,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Steps 6 and 7 of docs/activity.md."""
    floor = tables.expected[0]
    codes = np.zeros(mean.shape, np.uint8)
    losses: dict[tuple[int, int], list[float]] = {}
    for p in range(mean.shape[0]):
        flags, core = np.zeros(ratio.shape, bool), np.zeros(ratio.shape)
        for y, x in np.ndindex(*ratio.shape):
            if np.isfinite(mean[p, y, x]) and scores[p, y, x] < critical:
                whole = at(tables.expected, rest(stable[p, y, x], ratio[y, x], spans[p]))
                flags[y, x] = mean[p, y, x] < whole - min_loss * (whole - floor)
        for y, x in zip(*np.nonzero(flags), strict=True):
            near = around(y, x, 1)
            low, there = flags[near].sum(), np.isfinite(mean[p][near]).sum()
            if 9 * low >= SUPPORT * there and there >= 4:
                core[y, x] = CORE_WEIGHT if low == there else 1.0
        codes[p][core > 0] = CORE
        for y, x in np.ndindex(*ratio.shape):
            if not np.isfinite(mean[p, y, x]) or not core[around(y, x, REACH)].any():
                continue
            known = ratio[around(y, x, LEVEL_REACH)]
            known = known[(known >= known.max() - NEARLY) & (known != UNKNOWN)]
            rests = rest(stable[p, y, x], known.mean() if known.size else UNKNOWN, spans[p])
            window = around(y, x, LEVEL_REACH)
            level = float((core[window] * np.nan_to_num(mean[p][window])).sum() / core[window].sum())
            whole = at(tables.expected, rests)
            mixed = at(tables.expected, (rests + at(tables.true, level)) / 2)
            reach = max(whole - level, 1e-6)
            loss = (whole - mean[p, y, x]) / reach - ((whole + level) / 2 - mixed) / (3 * reach)
            codes[p, y, x] |= NEAR | (LOW if loss >= min_loss else 0)
            losses.setdefault((y, x), []).append(min(max(loss, -1.0), 2.0))
    some = np.bitwise_or.reduce(codes, axis=0)
    active = np.zeros(ratio.shape, bool)
    for y, x in np.ndindex(*ratio.shape):
        here = losses.get((y, x), [])
        within = sum(here) >= min_loss * len(here) - (FEW_SLACK if len(here) < POOLED_PAIRS else 0.0)
        active[y, x] = bool(some[y, x] & CORE) or (bool(some[y, x] & LOW) and (within or len(here) < 2))
    closed = active.copy()
    wide = np.pad(active, SEAM)
    for y, x in zip(*np.nonzero(~active & (some & LOW > 0)), strict=True):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            ahead, behind = (
                any(wide[y + SEAM + sign * k * dy, x + SEAM + sign * k * dx] for k in range(1, SEAM + 1))
                for sign in (1, -1)
            )
            closed[y, x] |= ahead and behind
    return closed, codes


def test_ratio_scores_and_decision_against_plain_loops(block: dict[str, Any], tables: LookTables) -> None:
    values, stable, spans = block["values"], block["stable"], block["spans"]
    everywhere = np.broadcast_to(stable if stable.ndim == 3 else stable[:, None, None], values.shape).astype(float)
    mean = local_means(values)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    plain = plain_ratio(mean.astype(float), everywhere, spans, tables)
    np.testing.assert_allclose(ratio, plain, rtol=1e-9)
    assert (ratio == UNKNOWN).any()

    nodes = np.linspace(0, SCORE_TRUE_MAX, tables.score.shape[0]), np.linspace(0, 1, tables.score.shape[1])
    table = interpolate.RegularGridInterpolator(nodes, tables.score.astype(float))
    true = np.array([[[rest(everywhere[p, y, x], ratio[y, x], spans[p]) for x in range(COLS)] for y in range(ROWS)]
                     for p in range(PAIRS)])  # fmt: skip
    single = table(np.stack([true, np.nan_to_num(values.astype(float))], axis=-1))
    single[np.isnan(values)] = np.nan
    scores = local_scores(values, stable, spans, ratio, tables.score)
    np.testing.assert_allclose(scores, local_means(single.astype(np.float32)), atol=2e-5)

    for critical, min_loss in ((-1.9, 0.5), (-1.2, 0.3)):
        active, codes, _ = decide(
            mean, scores, stable, spans, ratio, tables.expected, tables.true, critical, min_loss
        )  # fmt: skip
        expected = plain_decision(mean.astype(float), scores, everywhere, spans, ratio, tables, critical, min_loss)
        np.testing.assert_array_equal(codes, expected[1])
        np.testing.assert_array_equal(active, expected[0])
        assert 60 < active.sum() < 300
        assert {int(code) for code in np.unique(codes)} >= {0, NEAR, NEAR | LOW, NEAR | LOW | CORE}


def test_nothing_is_active_where_nothing_is_significant(block: dict[str, Any], tables: LookTables) -> None:
    values, stable, spans = block["values"], block["stable"], block["spans"]
    mean = local_means(values)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    scores = local_scores(values, stable, spans, ratio, tables.score)
    active, codes, pooled = decide(
        mean, scores, stable, spans, ratio, tables.expected, tables.true, -np.inf, 0.5
    )  # fmt: skip
    assert not active.any()
    assert not codes.any()
    assert not pooled.any()


def test_scores_are_counted_as_a_histogram_counts_them() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 2, (6, 12, 15)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    scores[:, 5, 6] = np.nan
    scores[0, 4, 4], scores[1, 4, 5] = -9.0, 5.0  # beyond both ends
    stable, mine = rng.random((8, 10)) < 0.6, rng.random((8, 10)) < 0.7
    low, step, steps = -8.4, 0.005, 2480
    inner = scores[:, 2:10, 3:13]
    edges = low + step * np.arange(steps + 1)
    on_stable, least = score_counts(scores, stable, mine, 2, 3, low, step, steps)

    def histogram(of: FloatArray) -> npt.NDArray[np.int64]:
        finite = of[np.isfinite(of)].astype(float).clip(edges[0], edges[-1])
        return np.asarray(np.histogram(finite, edges)[0])

    np.testing.assert_array_equal(on_stable, histogram(inner[:, stable]))
    np.testing.assert_array_equal(least, histogram(np.fmin.reduce(inner, axis=0)[mine]))
