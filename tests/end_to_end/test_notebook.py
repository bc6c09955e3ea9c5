"""The notebook runs from top to bottom in a clean kernel, without a network, and finds what the demo found."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "mine_to_report.ipynb"

# their last line is a figure
FIGURES = (
    *("baselines", "coherence", "stack", "stable", "scene-quality"),
    *("ndai", "rgb", "classes", "areas", "truth-maps"),
)


def test_the_notebook_is_stored_clean() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id


@pytest.mark.slow
def test_the_notebook_runs(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSAR_MINING_DEMO", str(demo_folder / "simulated"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    scenes = demo_folder / "simulated" / "scenes"
    written = {path: path.stat().st_mtime_ns for path in scenes.rglob("*")}
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    said = {
        name: "".join(out.text for out in cell.outputs if out.output_type == "stream") for name, cell in cells.items()
    }
    # nothing went to stderr, a warning for instance
    for name, cell in cells.items():
        assert not [out.text for out in cell.outputs if out.get("name") == "stderr"], name
    for name in FIGURES:
        assert any("image/png" in out.get("data", {}) for out in cells[name].outputs), name
    assert said["scenes"] == "", "the scenes of the demonstration are used as they are"
    assert {path: path.stat().st_mtime_ns for path in scenes.rglob("*")} == written
    maps = len(list((demo_folder / "coherence").glob("*.tif")))
    result = tmp_path / "demo-mine" / "notebook"
    assert f"{maps} of {maps} coherence maps were there already" in said["run"]
    assert (result / "activity.csv").read_bytes() == (demo_folder / "activity.csv").read_bytes()
    assert (result / "scenes.csv").read_bytes() == (demo_folder / "scenes.csv").read_bytes()
    assert (result / "report.html").stat().st_size > 100_000
