"""A portfolio of tiny mines on the seam of two bursts, fetched from a server on this machine.

Two mines share both bursts of every date; no image sees the two others, one of them far away.
A map must be to the bit that of the mine run alone, and every file must be asked for once.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from shapely.geometry import box, mapping
from typer.testing import CliRunner, Result

from insar_mining.cli import app, inputs
from insar_mining.coherence.builtin.images import dates as resampling
from insar_mining.files import write_text
from insar_mining.options.models import RunOptions
from insar_mining.pipeline import result, run
from insar_mining.portfolio.plan import open_portfolio
from tests.end_to_end import mirror
from tests.end_to_end.test_archive_run import X, Y, lonlat
from tests.unit.conftest import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::insar_mining.errors.InsarMiningWarning"),
    pytest.mark.filterwarnings("ignore:resource_tracker"),
]

DAYS = [-600, -588, -576, -564, -552]
PERIOD = ("--start", "2022-01-01", "--end", "2022-12-31")
BAD = ("20220124", "20220217")  # of one the pixels, of the other the metadata cannot be had


def around(x0: float, x1: float, y: float = 0.0) -> object:
    return lonlat(box(X + x0, Y + y - 90, X + x1, Y + y + 90))


AREA = lonlat(box(X - 230, Y - 120, X + 230, Y + 120))
SHAPES = {"west": around(-220, -60), "east": around(60, 220)}
MINES = SHAPES | {"outside": box(10, 50, 10.01, 50.01), "empty": around(-290, -130, 9_000.0)}


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return mirror.simulated(tmp_path_factory.mktemp("simulated"), DAYS, SHAPES["east"], {2}, AREA).products


@pytest.fixture(scope="module")
def held(products: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> mirror.Mirror:
    return mirror.mirrored(list(products), tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def server(held: mirror.Mirror, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    held.serve(running)
    network = mirror.network(running)
    monkeypatch.setattr(inputs, "open_network", lambda: network)
    monkeypatch.setattr(result, "write_report", lambda path, content: write_text(path, f"{content.skipped}"))
    yield running
    running.shutdown()
    running.server_close()
    thread.join(timeout=10)


def collection(path: Path) -> Path:
    features = [
        {"type": "Feature", "properties": {"name": name, "COUNTRY_NAME": "Morocco"}, "geometry": mapping(shape)}
        for name, shape in MINES.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["portfolio", *map(str, arguments)], env={"COLUMNS": "200"})


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_every_file_once_and_the_maps_of_a_mine_alone(
    server: Server, held: mirror.Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[held.pixels[BAD[0]][1]].always = "status:404"
    server.files[held.metadata[BAD[1]][0]].always = "status:404"
    resampled: Counter[str] = Counter()
    of = resampling.Resampler.of

    def counted(relief, side, stack, *how):  # type: ignore[no-untyped-def]
        resampled[f"{stack.burst_index} {side.product.name} {relief.region}"] += 1
        return of(relief, side, stack, *how)

    monkeypatch.setattr(resampling.Resampler, "of", counted)
    folder = tmp_path / "portfolio"
    done = command("run", collection(tmp_path / "mines.geojson"), *PERIOD, "--distance", "0.01", "--out", folder,
                   "--method", "published", "--workers", "0", "--json-lines")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "outside" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert Counter(line["state"] for line in lines) == {"partial": 2}

    asked = Counter(one.path for one in server.asked if one.path.endswith((".tiff", ".xml", ".EOF", ".tif")))
    whole = {path: count for path, count in asked.items() if server.files[path].always == "well"}
    assert set(whole.values()) == {1}
    assert set(resampled.values()) == {1}
    table = json.loads(command("status", folder, "--json").stdout)
    states = {row["name"]: (row["state"], row["why"]) for row in table}
    assert states["outside"][0] == "not run"
    assert states["empty"][0] == "not run"
    assert states["west"][0] == "partial"
    assert all(date in states["west"][1] for date in BAD)

    made = open_portfolio(folder)
    task = next(t for t in made.tasks if t.inputs["mine"]["name"] == "east")
    mine = task.inputs["mine"]["id"]
    in_portfolio = folder / "mines" / mine
    alone = run(
        tmp_path / "mines.geojson", out=tmp_path / "alone", network=inputs.open_network(),
        options=RunOptions(**task.how["options"]), mine_id=mines_id(tmp_path / "mines.geojson", "east"),
    )  # fmt: skip
    for name in ("coherence/*.tif", "coherence/*.json"):
        assert digests(in_portfolio, name) == digests(alone.out, name) != {}
    maps = {path: path.stat().st_mtime_ns for path in in_portfolio.glob("coherence/*.tif")}

    # nothing is done again, until a date that was missing can be had
    server.asked.clear()
    again = command("run", folder, "--workers", "0")
    assert "2 mines there" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    listed = {one["what"]: one["bytes"] for one in json.loads(command("clean", folder, "--json").stdout)}
    assert listed[f"mines/{mine}/archive"] > 0
    assert listed["store/products"] > 0
    server.files[held.pixels[BAD[0]][1]].always = server.files[held.metadata[BAD[1]][0]].always = "well"
    better = command("run", folder, "--workers", "0", "--retry", "--keep", "none")
    assert "2 mines done" in better.stderr
    fetched = Counter(
        one.path for one in server.asked if one.status in (200, 206) and one.path.endswith((".tiff", ".xml"))
    )
    assert set(fetched.values()) == {1}
    assert not list(in_portfolio.glob("archive/*/*.tiff"))
    assert not list(in_portfolio.glob("coherence/.dates/*.npy"))
    assert "nothing will be done" in command("explain", folder).stdout
    assert json.loads(command("explain", folder, mine, "--json").stdout)["measured"]["steps"]["coherence"] > 0
    report_of(folder)


def mines_id(path: Path, name: str) -> str:
    """Id that the reader of mines gives to a feature of a file, by its name."""
    from insar_mining import read_mines

    return next(mine.id for mine in read_mines(path) if mine.name == name)


def report_of(folder: Path) -> None:
    """The report names every mine, links the pages that are there, loads nothing, and sums countries."""
    assert command("report", folder).exit_code == 0
    page = (folder / "report.html").read_text()
    for name in MINES:
        assert f">{name}<" in page
    assert page.count('/report.html">') == 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page
    assert pd.read_csv(folder / "countries.csv")["country"].eq("Morocco").all()


def test_shards_of_local_scenes(products: tuple[Path, ...], tmp_path: Path) -> None:
    scenes, dem = products[0].parent, products[0].parent.parent / "dem.tif"
    folder = tmp_path / "portfolio"
    local = ("--scenes", scenes, "--dem", dem, "--method", "published")
    given = (collection(tmp_path / "mines.geojson"), *PERIOD, "--distance", "0.01", "--out", folder)
    planned = command("plan", *given, *local, "--json")
    totals = json.loads(planned.stdout)["totals"]
    assert (totals["mines"], totals["not_run"]) == (4, 1)
    ends = [command("run", folder, "--workers", "0", "--shard", f"{i}/2") for i in (1, 2)]
    assert sorted(end.exit_code for end in ends) == [0, 1]  # no pixel shows one of the mines
    assert any("1 of" in end.stderr and "failed" in end.stderr for end in ends)
    assert len(list(folder.glob("mines/*/activity.csv"))) == 2
