"""Updates of all results of a portfolio: one mine starts and stops, the other is quiet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from shapely.affinity import translate
from typer.testing import CliRunner, Result

from insar_mining.cli import app
from insar_mining.errors import OutputError
from insar_mining.pipeline.lock import folder_lock
from insar_mining.portfolio import monitor, updates
from insar_mining.portfolio.executors import execute
from insar_mining.portfolio.plan import Portfolio, plan_portfolio
from insar_mining.portfolio.runs import run_mine
from insar_mining.portfolio.updates import update_portfolio
from insar_mining.scenes import products
from tests.unit.pipeline import conftest
from tests.unit.pipeline.conftest import AREA, Bench, DoublePlan, scene_table
from tests.unit.portfolio.test_monitor import STARTS
from tests.unit.portfolio.test_monitor import coherence_of as started_and_stopped

pytestmark = pytest.mark.filterwarnings("ignore::insar_mining.errors.InsarMiningWarning")

EVERY = scene_table(years=1, of_each=16)
DATES = [name[17:25] for name in EVERY["scene"]]
END = "2021-12-31"


def coherence_of(plan: DoublePlan) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The first mine is worked between two dates, the second never."""
    west, _, east, _ = plan.grid.bounds_lonlat()
    if west < AREA.centroid.x < east:
        return started_and_stopped(plan)
    noise = np.random.default_rng(int(plan.pair[:8])).normal(0.9, 0.015, plan.grid.shape)
    return noise.clip(0, 1).astype(np.float32)


def known(bench: Bench, until: str) -> None:
    bench.scenes = EVERY[[date <= until for date in DATES]].reset_index(drop=True)
    bench.scenes.attrs["skipped"] = []


def finished(bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str) -> Portfolio:
    """Return a portfolio of two mines, finished with the dates until work starts at one of them."""
    monkeypatch.setattr(conftest, "coherence_of", coherence_of)
    monkeypatch.setattr(products, "scan_products", lambda folder: bench.scenes)
    known(bench, STARTS)
    columns = {"name": ["busy", "quiet"]}
    gpd.GeoDataFrame(columns, geometry=[AREA, translate(AREA, 0.3)], crs=4326).to_file(bench.folder / "two.gpkg")
    options = bench.options.replace(activity={"method": method})
    planned = plan_portfolio(bench.folder / "two.gpkg", bench.folder / "portfolio", options)
    states = execute(planned.tasks, planned.folder, run_mine, None, lambda *_: None)
    assert set(states.values()) == {"done"}
    return planned


@pytest.fixture
def made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Portfolio:
    return finished(bench, monkeypatch, "significant")


@pytest.fixture
def plain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Portfolio:
    """The same with the published method, which is quick and judges no dates."""
    return finished(bench, monkeypatch, "published")


def changes_of(found: updates.PortfolioUpdate) -> dict[str, list[str]]:
    return {one["name"]: [change["kind"] for change in one["changes"]] for one in found.mines}


def following(date: str) -> str:
    return str(DATES[DATES.index(date) + 1])


def test_a_portfolio_is_updated_in_one_call(bench: Bench, made: Portfolio) -> None:
    """A start is reported by the first pair that shows it; maps that were there stay untouched."""
    maps = {path: path.stat().st_mtime_ns for path in made.folder.glob("mines/*/coherence/*.tif")}
    assert len(maps) == 2 * DATES.index(STARTS)
    date = following(STARTS)
    known(bench, date)
    found = update_portfolio(made.folder, end=END)
    assert changes_of(found) == {"busy": ["started"], "quiet": []}
    assert found.code == monitor.CHANGED
    page = (made.folder / "changes" / "latest.html").read_text()
    assert all(change["text"] in page for one in found.mines for change in one["changes"])
    told = json.loads((made.folder / "changes" / f"{date}.json").read_text())
    assert [one["new_pairs"] for one in told["mines"]] == [one["new_pairs"] for one in found.mines]
    assert {len(one["new_pairs"]) for one in found.mines} == {1}
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    # the ledger knows the files as they are now
    assert [made.ledger.why_again(task) for task in made.tasks] == ["", ""]


def test_an_update_that_is_killed_loses_no_change(
    bench: Bench, plain: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the report is written, and before the ledger is, each with a further date."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for date, name in ((following(STARTS), "_written"), (following(following(STARTS)), "outputs_of")):
        known(bench, date)
        with monkeypatch.context() as patched:
            patched.setattr(updates, name, killed)
            with pytest.raises(KeyboardInterrupt):
                update_portfolio(plain.folder, end=END)
    found = update_portfolio(plain.folder, end=END)
    assert found.code == monitor.NEW_DATA
    assert [len(one["new_pairs"]) for one in found.mines] == [2, 2]
    assert [plain.ledger.why_again(task) for task in plain.tasks] == ["", ""]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["update", *map(str, arguments), "--end", END])


def test_the_command_under_cron(bench: Bench, plain: Portfolio) -> None:
    """Exit codes, one update at a time, no codes for a terminal; a mine that fails does not keep the others."""
    assert command(plain.folder).exit_code == 0
    known(bench, following(STARTS))
    with folder_lock(plain.folder / "changes"):
        busy = command(plain.folder)
    assert busy.exit_code == 1
    assert "another run works" in busy.stderr
    quiet = next(task for task in plain.tasks if task.inputs["mine"]["name"] == "quiet")
    record = plain.folder / "mines" / quiet.id.removeprefix("mine-") / "run.yaml"
    content = record.read_bytes()
    record.unlink()
    ended = command(plain.folder, "--json")
    assert ended.exit_code == 1
    told = json.loads(ended.stdout)
    assert [one["name"] for one in told["mines"]] == ["busy"]
    assert [one["name"] for one in told["failures"]] == ["quiet"]
    record.write_bytes(content)
    ended = command(plain.folder)
    assert ended.exit_code == 10, ended.output
    assert "\x1b" not in ended.output
    assert command(plain.folder).exit_code == 0
    with pytest.raises(OutputError):
        update_portfolio(Path(bench.folder))
    (plain.folder / "ledger" / f"{quiet.id}.json").unlink()
    assert update_portfolio(plain.folder, end=END).waiting == (quiet.id.removeprefix("mine-"),)
