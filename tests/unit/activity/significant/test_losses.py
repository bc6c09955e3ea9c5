"""What a cell loses with the baseline: found by plain least squares, and not taken for work on mines of known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from insar_mining.activity.large import significant_to_zarr
from insar_mining.activity.significant.intervals import _tiles, area_intervals, cell_weights_m2
from insar_mining.activity.significant.local_scores import look_tables
from insar_mining.activity.significant.losses import baseline_losses, squares_of, stable_in_cells
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.coherence.estimators.statistics import unbias
from insar_mining.errors import ActivityError, FewObservationsWarning
from insar_mining.simulate import mine_stack
from insar_mining.simulate.mine_stack import MineStack, WorkedZone, simulate_mine_stack

CELL_M2 = 400.0
# 55 % of the coherence lost at 250 m is a face of some 58 degrees that the elevation model does not know
STEEP = 0.55


def stale_mine(monkeypatch: pytest.MonkeyPatch, seed: int, loss: float, duty: float = 0.6, **how: object) -> MineStack:
    """Half a square kilometre of work, a fifth of it on a stale slope over the south of the map."""
    monkeypatch.setattr(mine_stack, "STALE_LOSS_250M", loss)
    zone = WorkedZone((600.0, 700.0), 400.0, (2021,), duty)
    return simulate_mine_stack(
        np.random.default_rng(seed), [zone], cells=(64, 60), stale_slopes=0.4, **how,  # type: ignore[arg-type]
    )  # fmt: skip


def off(stack: MineStack, *, baseline_loss: bool) -> float:
    """Error of the area, as a share of the truth."""
    found = significant_activity(stack.coh, baseline_loss=baseline_loss)
    return float((found.active.values[0] == 1).sum() * CELL_M2) / stack.active_m2[2021] - 1


@pytest.mark.parametrize("loss", [STEEP, 0.7])
@pytest.mark.parametrize("duty", [0.6, 0.0])
def test_a_steep_stale_face_is_not_taken_for_work(monkeypatch: pytest.MonkeyPatch, loss: float, duty: float) -> None:
    """Baselines to 217 m; the slope of the elevation model is flat there, only the stack can tell."""
    for seed in (0, 2):
        stack = stale_mine(monkeypatch, seed, loss, duty)
        assert off(stack, baseline_loss=False) > 0.1, seed
        assert abs(off(stack, baseline_loss=True)) < 0.05, seed


def test_ground_that_loses_nothing_keeps_its_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    for duty in (0.6, 0.0):
        stack = stale_mine(monkeypatch, 1, 0.0, duty)
        assert off(stack, baseline_loss=True) == pytest.approx(off(stack, baseline_loss=False), abs=0.005)


def test_the_interval_of_a_corrected_area_holds_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stale_mine(monkeypatch, 0, 0.7)
    for corrected in (False, True):
        found = significant_activity(stack.coh, baseline_loss=corrected)
        table = area_intervals(stack.coh, found, draws=12, power=False)
        holds = table["area_low_m2"][0] < stack.active_m2[2021] < table["area_high_m2"][0]
        assert holds == corrected
    # the parts that are drawn again are decided as the map is, cell by cell
    tiles = _tiles(stack.coh, found.active.values[0] == 1, cell_weights_m2(found.active), found.references[2021])
    assert sum(tile.area for tile in tiles) == pytest.approx(table["area_map_m2"][0], rel=1e-9)
    # and what is drawn has the same loss: nothing of the face comes or goes
    assert abs(table["area_m2"][0] - table["area_map_m2"][0]) < 0.03 * table["area_map_m2"][0]


def test_losses_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack = stale_mine(monkeypatch, 0, STEEP, pairs_per_year=10)
    whole = significant_activity(stack.coh, baseline_loss=True)
    pairs = stack.coh.sizes["pair"]
    part = significant_activity(stack.coh, baseline_loss=True, block_bytes=4 * pairs * 700)
    xr.testing.assert_identical(part.active, whole.active)
    xr.testing.assert_identical(part.disturbed, whole.disturbed)
    stored = significant_to_zarr(
        stack.coh, tmp_path / "maps.zarr", baseline_loss=True, chunk=32, block_bytes=4 * pairs * 700
    )
    np.testing.assert_array_equal(stored.maps["active"].values, whole.active.values)


def test_a_loss_is_that_of_plain_least_squares() -> None:
    """Against numpy's own solver on the inverse of the exact law, no table and no loop of the package's."""
    rng = np.random.default_rng(5)
    tables = look_tables(7.0)
    pairs, side = 24, 6
    spans = np.where(rng.random(pairs) < 0.2, 2.0, 1.0)
    squares = rng.uniform(0, 1, pairs) ** 2
    stable = rng.uniform(0.88, 0.95, pairs)
    loss = np.linspace(0, 1.2, side * side).reshape(side, side)
    true = stable[:, None, None] * 0.95 ** spans[:, None, None] * np.exp(-loss * squares[:, None, None])
    mean = np.interp(true, np.linspace(0, 1, tables.expected.size), tables.expected) + rng.normal(0, 0.02, true.shape)
    mean[3, 2, 2] = np.nan
    mean[:, 0, 5] = 0.3  # worked always: nothing to tell from
    found = baseline_losses(mean.astype(np.float32), stable, spans, squares, tables.expected, tables.true)
    for y, x in np.ndindex(side, side):
        middle = (np.interp(stable, np.linspace(0, 1, tables.expected.size), tables.expected) + tables.expected[0]) / 2
        up = mean[:, y, x] >= middle
        if up.sum() < 6:
            assert found[y, x] == 0
            continue
        design = np.column_stack([spans[up], squares[up]])
        target = np.log(unbias(mean[up, y, x], 7.0).true / stable[up])
        solved, rest, *_ = np.linalg.lstsq(design, target, rcond=None)
        error = np.sqrt(rest[0] / (up.sum() - 2) * np.linalg.inv(design.T @ design)[1, 1])
        expected = -solved[1] if -solved[1] > 3 * error else 0.0
        assert found[y, x] == pytest.approx(expected, abs=2e-3), (y, x)
    assert (found > 0).mean() > 0.6
    levels = stable_in_cells(mean.astype(np.float32), stable, spans, tables, squares)
    np.testing.assert_allclose(levels, stable[:, None, None] * np.exp(-found * squares[:, None, None]), rtol=1e-6)
    assert stable_in_cells(mean.astype(np.float32), stable, spans, tables, None) is stable


def test_an_unknown_baseline_is_refused_and_few_pairs_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stale_mine(monkeypatch, 3, STEEP, pairs_per_year=5, snow=0.0, gaps=0.0)
    with pytest.warns(FewObservationsWarning, match="5 pairs in a year do not tell"):
        few = significant_activity(stack.coh, baseline_loss=True)
    xr.testing.assert_identical(few.active, significant_activity(stack.coh).active)
    unknown = stack.coh.copy()
    unknown["perpendicular_baseline_m"] = ("pair", [np.nan, *stack.coh["perpendicular_baseline_m"].values[1:]])
    with pytest.raises(ActivityError, match="1 of 5 pairs have no perpendicular baseline"):
        significant_activity(unknown, baseline_loss=True)
    with pytest.raises(ActivityError, match="5 of 5 pairs have no perpendicular baseline"):
        squares_of(stack.coh.drop_vars("perpendicular_baseline_m"))
    significant_activity(unknown)
