"""Files of the user that have the names of a result's files are neither written over nor deleted."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest

from insar_mining.errors import ChangedFileWarning, InsarMiningError, OutputError
from insar_mining.files import sha256
from insar_mining.pipeline import jobs, result
from insar_mining.pipeline.ownership import WRITING

from .conftest import Bench

# every kind of name that a result of three years can hold
NAMES = (
    *("report.html", "activity.csv", "scenes.csv", "run.yaml", "collection.json", "coherence.zarr", "stable.tif"),
    *("ndai_2021.tif", "ndai_2021.qml", "rgb_2021_2022_2023.tif", "classes_2021_2022_2023.tif", "stable.qml"),
    *("class_bands_2021_2022_2023.tif", "class_counts.csv", "class_areas.csv", "strata.csv", "adjusted.csv"),
    *("zones.csv", "zone_shares.csv", "rejected.csv", "rejections.csv", "monthly.csv", "seasonality.csv"),
    *("active_2022.tif", "active_2022.qml", "duty_2022.tif", "active_dates.tif"),
    *("coherence/20210120_20210201.tif", "coherence/20210120_20210201.json", "coherence/stack_reference.json"),
)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_user_with_a_name_of_ours_is_refused_before_any_work(bench: Bench, name: str) -> None:
    path = bench.out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"years of the user's work")
    before = contents(bench.out)
    with pytest.raises(OutputError, match=re.escape(name)):
        bench.run()
    with pytest.raises(OutputError, match=re.escape(name)):
        jobs.plan(bench.mine, out=bench.out, options=bench.options)
    maps = bench.folder / "maps"
    maps.mkdir()
    with pytest.raises(OutputError, match=re.escape(name)):
        jobs.analyse(maps, bench.mine, out=bench.out)
    assert bench.mapped == []
    assert contents(bench.out) == before


def test_the_names_are_those_of_a_result(bench: Bench) -> None:
    """A name of a result that the list above lacks would go untested."""
    bench.run()

    def pattern(name: str) -> str:
        return re.sub(r"(\d+_)*\d+", "N", name)

    written = {pattern(path.name) for path in bench.out.iterdir() if not path.name.startswith(".")} - {"coherence"}
    tested = {pattern(name) for name in NAMES}
    assert {name for name in written if name.endswith((".csv", ".html", ".json", ".yaml", ".zarr"))} <= tested
    assert {name for name in written if name.endswith((".tif", ".qml"))} - tested <= {
        *("states_N.tif", "duty_N.qml", "classes_N.qml", "active_dates.qml", "rgb_N.qml"),
    }


def test_a_file_that_was_changed_since_is_kept_under_another_name(bench: Bench) -> None:
    bench.run()
    style, table = bench.out / "ndai_2021.qml", bench.out / "activity.csv"
    style.write_text("the user's own colours", encoding="utf-8")
    table.write_text("the user's own notes", encoding="utf-8")
    with pytest.warns(ChangedFileWarning) as caught:
        bench.run()
    assert len(caught) == 2
    kept = {path.name.split(".")[0]: path.read_text("utf-8") for path in bench.out.glob("*.changed")}
    assert kept == {"ndai_2021": "the user's own colours", "activity": "the user's own notes"}
    assert "active_pixels" in table.read_text("utf-8")


def test_a_second_run_without_changes_leaves_no_second_file(bench: Bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChangedFileWarning)
        bench.run()
        names = set(contents(bench.out))
        bench.run()
    assert set(contents(bench.out)) == names
    assert not (bench.out / WRITING).exists()


def test_what_a_killed_run_left_is_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends while it writes leaves files without a record; the next one goes on there."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(result, "write_collection", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.run()
    assert (bench.out / "report.html").exists()
    bench.run()
    assert not [path for path in bench.out.iterdir() if path.name.endswith(".changed")]
    assert json.loads((bench.out / "collection.json").read_text("utf-8"))["id"].startswith("insar-mining-")


def test_a_failure_while_writing_gives_changed_files_their_names_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    (bench.out / "report.html").write_text("annotated", encoding="utf-8")

    def fails(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(result, "write_analysis", fails)
    with pytest.raises(InsarMiningError):
        bench.run()
    assert (bench.out / "report.html").read_text("utf-8") == "annotated"


def test_maps_in_the_folder_of_the_result_are_analysed_where_they_lie(bench: Bench) -> None:
    bench.run()
    other = bench.folder / "other"
    (other / "coherence").mkdir(parents=True)
    for path in (bench.out / "coherence").glob("*.tif"):
        (other / "coherence" / path.name).write_bytes(path.read_bytes())
    jobs.analyse(other / "coherence", bench.mine, out=other)
    assert (other / "report.html").exists()
