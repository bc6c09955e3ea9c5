"""Updates of a mine that starts, works on and stops: each is told in the pair in which it happens."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.errors import OutputError
from insar_mining.portfolio import monitor
from insar_mining.portfolio.monitor import update
from tests.unit.pipeline import conftest
from tests.unit.pipeline.conftest import Bench, DoublePlan, cells_of_mine, scene_table

STARTS, STOPS = "20210601", "20210707"  # first dates of the first worked pair and of the first idle one
# of few pairs the method says so
pytestmark = pytest.mark.filterwarnings("ignore::insar_mining.errors.FewObservationsWarning")


def coherence_of(plan: DoublePlan) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A quarter of the mine is worked between two dates; the rest is stable."""
    values = np.random.default_rng(int(plan.pair[:8])).normal(0.9, 0.015, plan.grid.shape)
    if STARTS <= plan.pair[:8] < STOPS:
        mine = values[cells_of_mine(plan.grid.transform)]
        mine[: mine.shape[0] // 2, mine.shape[1] // 2 :] = 0.25
    return values.clip(0, 1).astype(np.float32)


def test_start_and_stop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "coherence_of", coherence_of)
    every = scene_table(years=1, of_each=16)
    dates = [name[17:25] for name in every["scene"]]

    def known(until: str) -> None:
        bench.scenes = every[[date <= until for date in dates]].reset_index(drop=True)
        bench.scenes.attrs["skipped"] = []

    known(STARTS)
    bench.run()
    maps = {path: path.stat().st_mtime_ns for path in (bench.out / "coherence").glob("*.tif")}
    assert len(maps) == dates.index(STARTS)
    assert update(bench.out, end="2021-12-31").code == monitor.NOTHING_NEW
    assert not (bench.out / "changes" / "latest.json").exists()

    told = []
    for date in dates[dates.index(STARTS) + 1 :]:
        known(date)
        bench.mapped.clear()
        found = update(bench.out, end="2021-12-31")
        told.append((date, found.code, [change["kind"] for change in found.changes]))
        assert len(found.new_pairs) == len(bench.mapped) == 1
        for path, before in maps.items():
            assert path.stat().st_mtime_ns == before
        for change in found.changes:
            assert "".join(change["between"]).replace("-", "") == found.new_pairs[0].replace("_", "")
    first, last = dates[dates.index(STARTS) + 1], dates[dates.index(STOPS) + 1]
    expected = {first: (monitor.CHANGED, ["started"]), last: (monitor.CHANGED, ["stopped"])}
    for date, code, kinds in told:
        assert (code, kinds) == expected.get(date, (monitor.NEW_DATA, [])), date
    page = json.loads((bench.out / "changes" / f"{last}.json").read_text())
    assert page["changes"][0]["kind"] == "stopped"
    assert "stopped" in (bench.out / "changes" / f"{last}.html").read_text()


def test_what_was_not_told_is_told_the_next_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update that is killed between its tables and its report loses no change."""
    monkeypatch.setattr(conftest, "coherence_of", coherence_of)
    every = scene_table(years=1, of_each=13)
    dates = [name[17:25] for name in every["scene"]]
    bench.scenes = every[[date <= STARTS for date in dates]].reset_index(drop=True)
    bench.run()
    bench.scenes = every[: dates.index(STARTS) + 2].reset_index(drop=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(monitor, "_written", killed)
        with pytest.raises(KeyboardInterrupt):
            update(bench.out, end="2021-12-31")
    found = update(bench.out, end="2020-01-01")  # and a clock that was set back takes no date away
    assert (found.code, [change["kind"] for change in found.changes]) == (monitor.CHANGED, ["started"])


def test_the_command_and_its_exit_codes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "coherence_of", coherence_of)
    every = scene_table(years=1, of_each=13)
    bench.scenes = every[:8].reset_index(drop=True)
    bench.run()
    called = ["update", str(bench.out), "--end", "2021-12-31", "--json"]
    assert CliRunner().invoke(app, called).exit_code == 0
    bench.scenes = every[:9].reset_index(drop=True)
    done = CliRunner().invoke(app, called)
    assert done.exit_code == 10, done.output
    assert json.loads(done.stdout)["new_pairs"]
    with pytest.raises(OutputError):
        update(bench.folder)
    assert CliRunner().invoke(app, ["update", str(bench.folder)]).exit_code == 1
