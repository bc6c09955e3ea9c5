"""The notebooks run from top to bottom in a clean kernel, without a network, and find what the demo found."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import rasterio
from nbclient import NotebookClient
from rasterio.windows import from_bounds

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NOTEBOOK = NOTEBOOKS / "mine_to_report.ipynb"

# their last line is a figure
FIGURES = (
    *("baselines", "coherence", "stack", "stable", "scene-quality"),
    *("ndai", "rgb", "classes", "areas", "truth-maps"),
)
ACTIVITY_FIGURES = ("rejections", "decay", "baseline", "hue", "class-areas", "duty", "calendar")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_is_stored_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id


@pytest.fixture
def offline(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demonstration is named to the kernel, and no network; the folder that the kernel works in."""
    monkeypatch.setenv("INSAR_MINING_DEMO", str(demo_folder / "simulated"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    return tmp_path


def executed(path: Path, folder: Path, figures: tuple[str, ...]) -> dict[str, nbformat.NotebookNode]:
    """Code cells of a notebook after its run, by name: nothing went to stderr, and the figures are there."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute()
    cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    # nothing went to stderr, a warning for instance
    for name, cell in cells.items():
        assert not [out.text for out in cell.outputs if out.get("name") == "stderr"], name
    for name in figures:
        assert any("image/png" in out.get("data", {}) for out in cells[name].outputs), name
    return cells


def spoken(cells: dict[str, nbformat.NotebookNode], name: str) -> str:
    """What a cell printed."""
    return "".join(out.text for out in cells[name].outputs if out.output_type == "stream")


def shown_table(cells: dict[str, nbformat.NotebookNode], name: str) -> list[list[str]]:
    """Rows of the table that a cell ends with, as words."""
    (text,) = [out.data["text/plain"] for out in cells[name].outputs if "text/plain" in out.get("data", {})]
    return [line.split() for line in text.splitlines()]


@pytest.mark.slow
def test_the_notebook_runs(demo_folder: Path, offline: Path) -> None:
    scenes = demo_folder / "simulated" / "scenes"
    written = {path: path.stat().st_mtime_ns for path in scenes.rglob("*")}
    cells = executed(NOTEBOOK, offline, FIGURES)
    assert spoken(cells, "scenes") == "", "the scenes of the demonstration are used as they are"
    assert {path: path.stat().st_mtime_ns for path in scenes.rglob("*")} == written
    maps = len(list((demo_folder / "coherence").glob("*.tif")))
    result = offline / "demo-mine" / "notebook"
    assert f"{maps} of {maps} coherence maps were there already" in spoken(cells, "run")
    # the maps that were made one by one are those of the run, which maps 200 m around the mine as well
    for path in (demo_folder / "coherence").glob("*.tif"):
        with rasterio.open(path) as whole, rasterio.open(result / "coherence" / path.name) as part:
            window = from_bounds(*part.bounds, transform=whole.transform).round_offsets().round_lengths()
            np.testing.assert_allclose(part.read(1), whole.read(1, window=window), atol=1e-4)
    assert set(pd.read_csv(result / "activity.csv")["method"]) == {"published"}
    assert set(pd.read_csv(demo_folder / "activity.csv")["method"]) == {"significant"}
    assert (result / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_activity_notebook_finds_the_simulated_areas(offline: Path) -> None:
    cells = executed(NOTEBOOKS / "activity.ipynb", offline, ACTIVITY_FIGURES)
    years = [[float(word) for word in row] for row in shown_table(cells, "areas") if row[0] in ("2021", "2022", "2023")]
    assert len(years) == 3
    for _, area, low, high, mapped, simulated in years:
        assert low <= simulated <= high
        assert abs(area / simulated - 1) < 0.05
        assert abs(mapped / simulated - 1) < 0.05
    # pairs of 24 days were lower, and are not after the correction
    spans = {
        row[0]: [float(word) for word in row[1:]] for row in shown_table(cells, "to-span") if row[0] in ("12", "24")
    }
    assert spans["24"][0] < spans["12"][0] - 0.02
    assert abs(spans["24"][1] - spans["12"][1]) < 0.005
    (active,) = [row for row in shown_table(cells, "sample") if "active" in row]
    adjusted, error = float(active[3]), float(active[4])
    assert abs(adjusted - years[-1][5]) < 3 * error + 20_000


@pytest.mark.slow
def test_the_notebook_of_emissions_reaches_a_country_table(demo_folder: Path, offline: Path) -> None:
    cells = executed(NOTEBOOKS / "production_and_emissions.ipynb", offline, ("emissions-plot",))
    out = offline / "demo-inventory" / "out"
    assets, countries = pd.read_csv(out / "assets.csv"), pd.read_csv(out / "countries.csv")
    areas = pd.read_csv(demo_folder / "activity.csv")
    mine, last = areas["mine_id"].iloc[0], areas.iloc[-1]
    (row,) = assets[(assets["asset_id"] == mine) & (assets["year"] == last["year"])].to_dict("records")
    assert row["activity_t"] == pytest.approx(4.35e6 / areas["area_m2"].iloc[:2].sum() * last["area_m2"])
    assert set(countries["iso3"]) == {"ZAF"}
    assert countries["co2_t"].sum() == pytest.approx(assets["co2_t"].sum())
    assert (countries["n_modelled"] < countries["n_assets"]).all()
    assert any("alternative" in word for line in shown_table(cells, "explain") for word in line)


def html_table(cells: dict[str, nbformat.NotebookNode], name: str) -> pd.DataFrame:
    """The table that a cell ends with, in full."""
    (text,) = [out.data["text/html"] for out in cells[name].outputs if "text/html" in out.get("data", {})]
    table = pd.read_html(io.StringIO(text), index_col=0)[0]
    return table.set_axis(table.columns.get_level_values(0), axis="columns")


@pytest.mark.slow
def test_the_notebook_of_what_fools_it_is_not_fooled(offline: Path) -> None:
    figures = ("rain-map", "tight-look", "weather-look", "woods-look")
    cells = executed(NOTEBOOKS / "what_fools_it.ipynb", offline, figures)
    table = html_table(cells, "table")
    assert len(table) == 7
    for name, row in table.iterrows():
        assert row["area_low_m2"] <= row["true_m2"] <= row["area_high_m2"], name
        assert row["area_high_m2"] > 0, name
        if "wood" not in str(name):
            assert row["area_m2"] == pytest.approx(row["true_m2"], rel=0.05, abs=5000), name
    assert "WEATHER" in table.loc["rain on soil", "flags"]
    assert "NO_CONTROL" in table.loc["tight, without", "flags"]
    assert "DOUBT" in table.loc["woods inside and outside", "flags"]


@pytest.mark.slow
def test_the_notebook_of_tracks_and_pairs_finds_what_the_record_holds(offline: Path) -> None:
    record = NOTEBOOKS / "recorded_search.geojson"
    shutil.copy(record, offline)
    rows = [feature["properties"] for feature in json.loads(record.read_text("utf-8"))["features"]]
    days = sorted(dt.date.fromisoformat(row["start"][:10]) for row in rows)
    cells = executed(NOTEBOOKS / "tracks_and_pairs.ipynb", offline, ("footprints", "network", "calendar"))
    gaps = html_table(cells, "gaps")
    assert gaps["days"].tolist() == [(b - a).days for a, b in itertools.pairwise(days) if (b - a).days > 12]
    of_s1a = {dt.date.fromisoformat(row["start"][:10]) for row in rows if row["platform"] == "S1A"}
    in_step = sum(day + dt.timedelta(days=12) in of_s1a for day in of_s1a)
    counts = html_table(cells, "limits")["pairs"]
    assert counts.is_monotonic_increasing
    assert counts[250] == in_step
    assert int(spoken(cells, "pairs").split()[0]) == counts[150] < in_step
    assert html_table(cells, "tracks")["dates"].tolist() == [len(days), len(days[::3])]


@pytest.mark.slow
def test_the_notebook_of_estimators_reads_its_ground(offline: Path) -> None:
    cells = executed(NOTEBOOKS / "engines_and_estimators.ipynb", offline, ("maps",))
    means = html_table(cells, "truth")
    assert means["untouched (0.9) mean"].tolist() == pytest.approx([0.9] * len(means), abs=0.02)
    small, large = means.loc["boxcar 2 x 7"], means.loc["boxcar 5 x 21"]
    assert 0.3 < small["pit (0.1) mean"] < 0.4
    assert large["pit (0.1) mean"] < 0.2
    assert large["pit (0.1) sd"] < small["pit (0.1) sd"]
    corrected = html_table(cells, "unbiased").loc["pit (0.1)"]
    assert corrected["low"] < 0.1 < corrected["high"]
    assert "interferogram: stack" in spoken(cells, "graphs")


@pytest.mark.slow
def test_the_notebook_of_both_methods_sets_them_beside_the_truth(offline: Path) -> None:
    cells = executed(NOTEBOOKS / "published_and_default.ipynb", offline, ("maps",))
    areas, percent = html_table(cells, "areas").dropna(), html_table(cells, "errors").dropna()
    assert (areas["default_area_low_m2"].astype(float) <= areas["simulated_m2"].astype(float)).all()
    assert (areas["simulated_m2"].astype(float) <= areas["default_area_high_m2"].astype(float)).all()
    assert percent["default"].astype(float).abs().max() < 5
    assert percent["published"].astype(float).abs().max() < 20


@pytest.mark.slow
def test_the_notebook_of_a_portfolio_runs_its_mines_in_dask(offline: Path) -> None:
    cells = executed(NOTEBOOKS / "portfolio_with_dask.ipynb", offline, ())
    folder = offline / "mines"
    tables = [pd.read_csv(path) for path in sorted(folder.glob("mines/*/activity.csv"))]
    assert len(tables) == 2
    assert spoken(cells, "run").strip().endswith("2 mines done")
    assert all(set(table["year"]) == {2021} for table in tables)
    report = (folder / "report.html").read_text("utf-8")
    assert "dump" in report
    assert "pit" in report
