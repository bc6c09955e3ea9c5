"""Costs learned from finished mines: held against records whose costs were made with other coefficients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from insar_mining.portfolio.cost_model import CostModel, Size, calibrated, fitted
from insar_mining.portfolio.ledger import FOLDER, Ledger, Record

TRUE = {"seconds": (4.0, 0.1, 0.3, 4e-6), "bytes": (2e6, 0.0, 9e3, 20.0), "kept": (0.0, 2e4, 0.0, 60.0)}
NOISE = 0.15


def sizes(count: int, rng: np.random.Generator) -> list[Size]:
    """Mines of 1 to 12 km, half a year to nine years, on one to three bursts."""
    found = []
    for _ in range(count):
        dates, side_km = int(rng.integers(15, 270)), rng.uniform(1, 12)
        found.append(Size(int(rng.integers(1, 4)) * dates, dates - 1, (side_km * 1000 / 20) ** 2))
    return found


def cost(coefficients: tuple[float, float, float, float], size: Size) -> float:
    mine, image, pair, cell = coefficients
    return mine + image * size.images + pair * size.pairs + cell * size.cells * size.pairs


def record(number: int, of: Size, rng: np.random.Generator | None, **changes: object) -> Record:
    """A finished mine whose costs differ from the true ones by some noise."""
    took = {name: cost(terms, of) * (1 if rng is None else rng.lognormal(0, NOISE)) for name, terms in TRUE.items()}
    measured = {"processor_seconds": took["seconds"], "kept_bytes": took["kept"], "size": of.plain(), "maps_kept": 0}
    outputs = {"mines/x/map.tif": (round(took["bytes"]), "0" * 64)}
    return Record(f"mine-{number:03d}", "0", "done", {}, outputs, measured=measured | changes)


def ledger(folder: Path, records: list[Record]) -> Path:
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for one in records:
        Ledger(folder).write(one)
    return folder


@pytest.mark.parametrize("seed", range(5))
def test_costs_of_further_mines(tmp_path: Path, seed: int) -> None:
    """From twelve mines of very different sizes the costs of a hundred others are known within 20 %."""
    rng = np.random.default_rng(seed)
    model = calibrated(ledger(tmp_path, [record(n, size, rng) for n, size in enumerate(sizes(12, rng))]))
    assert model.measured_on == 12
    others = sizes(100, rng)
    for planned, name in ((model.seconds, "seconds"), (model.bytes_of_result, "bytes"), (model.bytes_kept, "kept")):
        expected = sum(cost(TRUE[name], size) for size in others)
        assert sum(planned(size) for size in others) == pytest.approx(expected, rel=0.2), name


def test_costs_without_noise_are_found() -> None:
    rng = np.random.default_rng(3)
    known = sizes(200, rng)
    found = fitted(CostModel().processor_seconds, known, [cost(TRUE["seconds"], size) for size in known])
    assert sum(cost(found, size) for size in known) == pytest.approx(sum(cost(TRUE["seconds"], s) for s in known))
    assert found == pytest.approx(TRUE["seconds"], rel=0.25)  # the prior values keep a little of their weight


def test_a_few_mines_scale_the_constants(tmp_path: Path) -> None:
    """With fewer than three the constants stay; three of one size scale them; a first one that compiled is left out."""
    size = Size(30, 29, 10_000.0)
    constants = CostModel()
    two = ledger(tmp_path / "two", [record(n, size, None) for n in range(2)])
    assert calibrated(two) == constants
    three = calibrated(ledger(tmp_path / "three", [record(n, size, None) for n in range(3)]))
    assert three.seconds(size) == pytest.approx(cost(TRUE["seconds"], size), rel=1e-6)
    assert min(three.processor_seconds) > 0
    slow = record(3, size, None, processor_seconds=100 * cost(TRUE["seconds"], size))
    four = calibrated(ledger(tmp_path / "three", [slow]))
    assert four.seconds(size) == pytest.approx(cost(TRUE["seconds"], size), rel=1e-6)


def test_mines_from_which_nothing_is_learned(tmp_path: Path) -> None:
    """Failed mines, those with maps of an earlier run, and records without a size do not count."""
    size = Size(30, 29, 10_000.0)
    useless = [
        Record("mine-a", "0", "failed", {}, error={"type": "E", "message": "m"}, measured={"size": size.plain()}),
        record(1, size, None, maps_kept=3),
        record(2, size, None, size=None),
        record(3, size, None, size={"images": 3}),
    ]
    assert calibrated(ledger(tmp_path, useless)).measured_on == 0


def test_sizes_of_fetched_files(tmp_path: Path) -> None:
    for folder, suffix, size in (("products", "xml", 1000), ("orbits", "EOF", 3000), ("dem", "tif", 500)):
        (tmp_path / "store" / folder).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "store" / folder / f"{number}.{suffix}").write_bytes(b"0" * (size + number))
            (tmp_path / "store" / folder / f".{number}.{suffix}.whole.json").write_bytes(b"{}")
    model = calibrated(tmp_path)
    assert (model.metadata_bytes, model.orbit_bytes, model.elevation_bytes) == (1001.0, 3001.0, 501.0)
