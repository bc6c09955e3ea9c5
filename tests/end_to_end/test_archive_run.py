"""From a mine's polygon and two dates to yearly activity, everything fetched from a server on this machine.

The server plays the archive with simulated products: every burst is of another slice, so
that the mine, which lies on their seam, is seen by two of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import yaml
from pyproj import Transformer
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry
from typer.testing import CliRunner, Result

from insar_mining.cli import app, inputs
from insar_mining.errors import ArchiveError, SkippedInputWarning
from insar_mining.files import write_text
from insar_mining.options.models import ActivityOptions, ArchiveOptions, RunOptions
from insar_mining.pipeline import result, run
from insar_mining.pipeline.acquisition import Network
from insar_mining.scenes import search as search_module
from insar_mining.scenes.products import scan_products
from insar_mining.sentinel1.product import open_product
from tests.end_to_end import mirror
from tests.unit.conftest import Server

# some dates of a square of 700 m: the method says that it has little to go by
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::insar_mining.errors.FewObservationsWarning")]

X, Y = 557_830.0, 3_481_100.0  # on the seam of two bursts
HALF_M, EAST_M = 350.0, 100.0
WORKED_M2 = (HALF_M - EAST_M) * 2 * HALF_M
DAYS = [-972, -960, -948, -600, -588, -576, -240, -228]  # 2021, 2022, 2023, from 2023-09-04
DATES = ["20210105", "20210117", "20210129", "20220112", "20220124", "20220205", "20230107", "20230119"]
BAD = "20210117"
WHOLE = {"20210105_20210117", "20210117_20210129"}
BRIDGED = {"20210105_20210129"}
OTHERS = {"20220112_20220124", "20220124_20220205", "20230107_20230119"}


def lonlat(shape: BaseGeometry) -> BaseGeometry:
    to_lonlat = Transformer.from_crs(mirror.EPSG, 4326, always_xy=True)
    dense = shapely.segmentize(shape, 200.0)
    return shapely.transform(dense, lambda p: np.column_stack(to_lonlat.transform(p[:, 0], p[:, 1])))


AREA = lonlat(box(X - HALF_M, Y - HALF_M, X + HALF_M, Y + HALF_M))
WORKED = lonlat(box(X + EAST_M, Y - HALF_M - 50, X + HALF_M + 50, Y + HALF_M + 50))


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Eight dates in three years; the eastern part of the mine is worked in 2021 and in 2022."""
    stack = mirror.simulated(tmp_path_factory.mktemp("simulated"), DAYS, WORKED, {0, 1, 3, 4}, AREA)
    return stack.products


@pytest.fixture(scope="module")
def held(products: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> mirror.Mirror:
    """The same dates as the archive holds them."""
    return mirror.mirrored(list(products), tmp_path_factory.mktemp("mirror"))


@dataclass
class Bench:
    """A server that plays the archive, and a mine."""

    server: Server
    mirror: mirror.Mirror
    network: Network
    folder: Path

    @property
    def mine(self) -> Path:
        path = self.folder / "mine é [1].geojson"
        path.write_text(json.dumps(mapping(AREA)), encoding="utf-8")
        return path

    @property
    def out(self) -> Path:
        return self.folder / "result"

    def command(self, *arguments: object) -> Result:
        period = ("--start", "2021-01-01", "--end", "2023-12-31", "--method", "published")
        given = ("run", self.mine, *period, "--out", self.out, *arguments)
        return CliRunner().invoke(app, [str(a) for a in given], env={"COLUMNS": "200"})

    def asked_files(self) -> list[str]:
        """Pixels and metadata that were asked for, and forget them."""
        paths = [a.path for a in self.server.asked if a.path.endswith((".tiff", ".xml"))]
        self.server.asked.clear()
        return paths

    def pairs(self) -> set[str]:
        return {path.stem for path in (self.out / "coherence").glob("*.tif")}


@pytest.fixture
def bench(held: mirror.Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    held.serve(server)
    found = Bench(server, held, mirror.network(server), tmp_path)
    monkeypatch.setattr(inputs, "open_network", lambda: found.network)
    # the report takes longer than all the rest, and has tests of its own: here it is what it says of things left out
    monkeypatch.setattr(result, "write_report", lambda path, content: write_text(path, f"{content.skipped}"))
    yield found
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name)


def test_the_whole_run_with_one_date_that_misbehaves_and_its_repair(bench: Bench) -> None:
    files = bench.server.files
    lost = bench.mirror.pixels[BAD][1]
    files[lost].always = "status:404"
    ways = ("cut:0.37", "status:429:0", "status:500", "status:202:0", "html", "stall:0.01")
    for date, way in zip(DATES[2:], ways, strict=False):
        files[bench.mirror.pixels[date][0]].ways = [way]

    done = bench.command()
    assert done.exit_code == 0, done.output
    assert "date 2021-01-17 left out: " in done.stderr
    assert "the server has no such file (404)" in done.stderr
    assert bench.pairs() == BRIDGED | OTHERS
    activity = table(bench.out, "activity.csv")
    assert activity["year"].tolist() == [2021, 2022, 2023]
    assert activity["n_pairs"].tolist() == [1, 2, 1]
    areas = activity["area_m2"].to_numpy()
    np.testing.assert_allclose(areas[:2], WORKED_M2, rtol=0.15)
    assert areas[2] < 0.05 * WORKED_M2
    # a date that is lost is told in the report and counted in the record
    record = yaml.safe_load((bench.out / "run.yaml").read_text("utf-8"))["made_by"]
    told = [one for one in record["skipped"] if "2021-01-17" in one["what"]]
    assert [one["reason"].endswith("search again, it may have been replaced") for one in told] == [True]
    assert (record["archive"]["dates_wanted"], record["archive"]["dates_lost"]) == (8, 1)
    assert "track 52 (descending) shows the whole mine on 8 dates" in record["archive"]["track"][0]
    assert told[0]["what"] in (bench.out / "report.html").read_text("utf-8")
    # both slices of a pass lie in one product; maps are made with the orbit files and reach over the seam
    archive = bench.out / "archive"
    folders = sorted(path for path in archive.iterdir() if path.name.endswith("_BURSTS"))
    assert len(folders) == len(DATES)
    assert [len(open_product(path).sub_swath("IW1", "VV").bursts) for path in folders if BAD not in path.name] == [
        2
    ] * 7
    with rasterio.open(bench.out / "coherence" / "20220112_20220124.tif") as source:
        assert source.tags()["REFERENCE_ORBIT"].endswith(".EOF")
        assert source.tags()["BURSTS"] == "IW1:1/1 IW1:2/2"
        assert np.isfinite(source.read(1)).all()

    asked = bench.asked_files()
    assert set(asked) >= {p for paths in bench.mirror.pixels.values() for p in paths}

    # the server is well again: only what was missing is asked for, and the bridge gives way to two pairs
    files[lost].always = "well"
    again = bench.command()
    assert again.exit_code == 0, again.output
    assert bench.asked_files() == [lost]
    assert set(table(bench.out, "scenes.csv")["pair"]) == WHOLE | OTHERS
    assert "3 coherence maps of an earlier run were used again" in again.stderr
    assert table(bench.out, "activity.csv")["n_pairs"].tolist() == [2, 2, 1]

    # the products are gone from the server, and no account is asked for: everything is there
    for path in (*lost_and_all(bench), *bench.mirror.orbits.values(), "/list.txt"):
        del files[path]
    bench.network = Network(**{**vars(bench.network), "login": no_account})
    third = bench.command()
    assert third.exit_code == 0, third.output
    assert bench.asked_files() == []
    assert "5 coherence maps of an earlier run were used again" in third.stderr


def lost_and_all(bench: Bench) -> list[str]:
    return [p for of in (bench.mirror.pixels, bench.mirror.metadata) for paths in of.values() for p in paths]


def no_account(connections: int) -> Any:
    raise AssertionError("an account was asked for although nothing is missing")


def options(**archive: Any) -> RunOptions:
    activity = ActivityOptions(method="published")
    return RunOptions(start="2022-01-01", end="2022-12-31", archive=ArchiveOptions(**archive), activity=activity)


def test_the_maps_are_those_of_the_whole_products(bench: Bench, products: tuple[Path, ...]) -> None:
    """Cut into bursts of two slices, carried over the network and joined, they give the same numbers."""
    fetched = run(bench.mine, out=bench.out, options=options(), network=bench.network)
    (dem,) = (bench.out / "archive" / "dem").glob("dem_glo30_*.tif")
    whole = options().replace(scenes=products[0].parent, dem=dem)
    orbits = whole.coherence.replace(orbits=(bench.out / "archive" / "orbits",))
    local = run(bench.mine, out=bench.folder / "local", options=whole.replace(coherence=orbits))
    assert fetched.activity["n_pairs"].tolist() == [2]
    for name in ("20220112_20220124", "20220124_20220205"):
        values = []
        for done in (fetched, local):
            with rasterio.open(done.out / "coherence" / f"{name}.tif") as source:
                values.append(source.read(1))
        np.testing.assert_array_equal(*values)
        assert np.isfinite(values[0]).all()
        east = values[0][:, -12:]
        assert east.mean() < 0.5 < 0.85 < values[0][:, :20].mean()


def test_whole_scenes_are_fetched_and_a_wrong_one_is_bridged(bench: Bench, products: tuple[Path, ...]) -> None:
    """Zips are read in place; one whose bytes are not those that the catalogue's checksum names never appears."""
    held = mirror.mirrored_scenes(list(products[3:6]), bench.folder)
    held.serve(bench.server)
    (bad,) = held.pixels["20220124"]
    whole = bench.server.files[bad].content
    bench.server.files[bad].content = whole[:-30] + bytes(30)
    wanted = options(product="scene", orbit_files=False)
    with pytest.warns(SkippedInputWarning, match=r"date 2022-01-24 left out: .*its MD5 is"):
        done = run(bench.mine, out=bench.out, options=wanted, network=bench.network)
    assert done.scenes["pair"].tolist() == ["20220112_20220205"]
    assert len(list((bench.out / "archive").glob("*.zip"))) == 2
    bench.server.files[bad].content = whole
    again = run(bench.mine, out=bench.out, options=wanted, network=bench.network)
    assert again.scenes["pair"].tolist() == ["20220112_20220124", "20220124_20220205"]


def test_an_interrupted_run_goes_on_at_the_very_byte(bench: Bench) -> None:
    """Stopped in the middle of two files; each is continued where it ended, and comes whole."""
    files = {path: bench.server.files[path] for date in ("20220112", "20220124") for path in bench.mirror.pixels[date]}
    for file in files.values():
        file.always = "slow:20000"
    size = len(next(iter(files.values())).content)

    def stop_at(count: float) -> Any:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == "fetching" and done > count:
                raise KeyboardInterrupt

        return progress

    for share in (0.5, 2.5):
        with pytest.raises(KeyboardInterrupt):
            run(
                bench.mine, out=bench.out, options=options(connections=1), network=bench.network,
                progress=stop_at(share * size),
            )  # fmt: skip
        assert not (bench.out / "activity.csv").exists()
    done = run(bench.mine, out=bench.out, options=options(connections=1), network=bench.network)
    assert done.activity["n_pairs"].tolist() == [2]
    continued = {asked.path for asked in bench.server.asked if asked.path in files and asked.start > 0}
    assert continued, "no part was continued, so the test shows nothing"
    held = {path.read_bytes() for path in (bench.out / "archive").rglob("*.tiff")}
    assert {file.content for file in files.values()} <= held


def test_a_dry_run_tells_everything_and_writes_nothing(bench: Bench) -> None:
    done = bench.command("--dry-run", "--json", "--line", "1")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert {row["pair"] for row in said["list"]} == WHOLE | OTHERS
    archive = said["archive"]
    assert (archive["track"], archive["dates"], archive["images"], archive["files"]) == (52, 8, 16, 32)
    assert archive["bytes"] < 0.03 * archive["bytes_as_whole_scenes"]
    assert archive["hours"] == pytest.approx((archive["bytes_missing"] + 8 * 4.6e6 + 90e6) / 0.8e6 / 3600, abs=0.01)
    assert [gap["days"] for gap in archive["gaps"]] == ["348", "336"]
    assert said["bytes_on_disk"] > 0
    assert not bench.out.exists()
    assert bench.asked_files() == []
    people = bench.command("--dry-run")
    assert "8 dates in 32 files" in people.stdout
    assert "no image for longer than a repeat" in people.stdout


def test_a_date_without_an_orbit_file_is_bridged_and_without_any_the_remedy_is_said(bench: Bench) -> None:
    gone = bench.mirror.orbits["20220124"]
    bench.server.files[gone].always = "status:404"
    with pytest.warns(SkippedInputWarning, match="date 2022-01-24 left out: no orbit file of S1A covers"):
        done = run(bench.mine, out=bench.out, options=options(), network=bench.network)
    assert done.scenes["pair"].tolist() == ["20220112_20220205"]
    for path in bench.mirror.orbits.values():
        bench.server.files[path].always = "status:404"
    with pytest.raises(ArchiveError, match=r"no orbit file could be had for any of the 3 products.*--ann"):
        run(bench.mine, out=bench.folder / "other", options=options(), network=bench.network)


def test_a_refused_account_and_an_archive_without_files_end_the_run(bench: Bench) -> None:
    for path in lost_and_all(bench):
        bench.server.files[path].always = "status:401"
    with pytest.raises(ArchiveError, match=r"does not accept the login \(401\): the token has expired"):
        run(bench.mine, out=bench.out, options=options(), network=bench.network)
    for path in lost_and_all(bench):
        bench.server.files[path].always = "status:404"
    with pytest.raises(ArchiveError, match=r"none of the 3 products could be fetched; the first.*\(404\)"):
        run(bench.mine, out=bench.out, options=options(), network=bench.network)


def test_products_for_snap_are_assembled_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNAP itself is not there: the run ends at its door, with SAFE products of both slices made ready."""
    monkeypatch.setenv("PATH", "/nowhere")
    from insar_mining.errors import EngineError

    wanted = options().replace(coherence=options().coherence.replace(engine="snap"))
    for _ in range(2):
        with pytest.raises(EngineError):
            run(bench.mine, out=bench.out, options=wanted, network=bench.network)
        safe = sorted((bench.out / "archive" / "safe").glob("*.SAFE"))
        made = [path.stat().st_mtime_ns for path in safe]
    assert [path.stat().st_mtime_ns for path in safe] == made
    assert len(safe) == 3
    assert [len(open_product(path).sub_swath("IW1", "VV").bursts) for path in safe] == [2, 2, 2]


def test_the_steps_one_by_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search, pairs, fetch with orbits, elevation and SAFE products, verify: each by its own command."""
    catalogue = bench.network.catalogue
    monkeypatch.setattr(search_module, "catalogue_session", lambda: catalogue)

    def command(*arguments: object) -> Result:
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == 0, done.output
        return done

    scenes, pairs, to = bench.folder / "scenes.parquet", bench.folder / "pairs.geojson", bench.folder / "fetched é"
    command("search", bench.mine, "--start", "2022-01-01", "--end", "2022-12-31", "-o", scenes)
    command("pairs", scenes, "--mine", bench.mine, "-o", pairs)
    fetch = ("fetch", pairs, "--to", to, "--orbits", "--dem", "glo30", "--mine", bench.mine, "--safe", "--json")
    said = json.loads(command(*fetch).stdout)
    assert (said["fetched"], said["failed"], said["safe_products"]) == (12, 0, 3)
    assert said["orbits"] == {"POEORB": 3, "RESORB": 0}
    assert Path(said["dem"]).is_file()
    assert len(list((to / "orbits").glob("*.EOF"))) == 3
    asked = len(bench.server.asked)
    again = json.loads(command(*fetch).stdout)
    assert (again["there"], again["fetched"], again["dem"]) == (12, 0, said["dem"])
    assert len(bench.server.asked) == asked
    states = {row["state"] for row in json.loads(command("verify", to, "--json").stdout)}
    assert states == {"whole"}
    # the folder is a source like any other: one product of each date, the SAFE one, which both engines read
    with pytest.warns(SkippedInputWarning, match="the same scene as"):
        table = scan_products(to)
    assert [Path(path).suffix for path in table["path"]] == [".SAFE"] * 3

    bench.server.files[bench.mirror.orbits["20220124"]].always = "status:404"
    next((to / "orbits").glob("*_V20220124*.EOF")).unlink()
    bad = CliRunner().invoke(app, [str(a) for a in fetch])
    assert bad.exit_code == 1
    assert "1 products have no orbit file" in bad.stderr
    no_mine = CliRunner().invoke(app, [str(a) for a in ("fetch", pairs, "--to", to, "--dem", "glo30")])
    assert "name it with --mine" in no_mine.stderr
