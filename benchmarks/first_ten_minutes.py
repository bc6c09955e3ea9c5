"""Time the first ten minutes of a newcomer: install from the wheel, demo, own polygon, own maps, first plot.

    python benchmarks/first_ten_minutes.py [--quick] [--folder DIR]

Every step runs in a fresh environment that holds the wheel and nothing of this clone; a step that fails ends it. The
dry run searches a recorded answer of ASF's catalogue (bursts over south-east Alaska, tests/data/asf), the maps are real
ones of another processor (Mexico City, tests/data/mexico_city): neither needs a network; pip does. ``--quick`` leaves
out the demonstration and writes nothing; without it ``benchmarks/results/first_ten_minutes.md`` is written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from noise import machine

HERE = Path(__file__).parent
ROOT = HERE.parent
DATA = ROOT / "tests" / "data"
ALASKA = (-135.92, 57.03, -135.90, 57.05)
MEXICO = (-99.15, 19.39, -99.09, 19.43)

# the command line as it is, but for the answer of the catalogue
DRY_RUN = """
import json, lzma, sys
from pathlib import Path
from insar_mining.__main__ import main
from insar_mining.cli import inputs
from insar_mining.pipeline.acquisition import Network
from insar_mining.scenes.records import records_table

answer = json.loads(lzma.decompress(Path(sys.argv.pop(1)).read_bytes()))

def recorded(mine, start, end, **conditions):
    table = records_table(answer["items"])
    days = table["start"].dt.strftime("%Y-%m-%d")
    return table[(days >= str(start)[:10]) & (days <= str(end)[:10])].reset_index(drop=True)

inputs.open_network = lambda: Network(search=recorded)
main()
"""

FIRST_PLOT = """
import insar_mining as im
from insar_mining.report.plots import mean_coherence, plot_mine
mine = im.read_mines("mexico.geojson")[0]
plot_mine(mean_coherence(im.open_stack("maps", mine)), mine).figure.savefig("first.png")
"""


@dataclass(frozen=True)
class Step:
    """One step: what a newcomer does, how, and what must be there afterwards."""

    what: str
    command: tuple[str, ...]
    makes: tuple[str, ...] = ()


def steps(folder: Path, *, quick: bool) -> list[Step]:
    """Return the steps in their order; `folder` holds the environment and everything that is made."""
    python, own = str(folder / "env" / "bin" / "python"), str(folder / "env" / "bin" / "insar-mining")
    answer = str(DATA / "asf" / "burst_166.json.xz")
    period = ("--start", "2018-01-01", "--end", "2020-12-31")
    demo = Step("insar-mining demo", (own, "demo", "--out", "demo"), ("demo/report.html", "demo/simulated/truth.tif"))
    found = [
        Step("make an environment", (sys.executable, "-m", "venv", str(folder / "env"))),
        Step("build the wheel", (python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))),
        Step("install the wheel", (python, "-m", "pip", "install", "--quiet", "WHEEL")),
        Step("insar-mining --help", (own, "--help")),
        demo,
        Step("own polygon, --dry-run", (python, "-c", DRY_RUN, answer, "run", "alaska.geojson", *period, "--dry-run")),
        Step(
            "own folder of maps",
            (own, "analyse", "maps", "--mine", "mexico.geojson", "-o", "result"),
            ("result/report.html", "result/activity.csv"),
        ),
        Step("first plot", (python, "-c", FIRST_PLOT), ("first.png",)),
    ]
    return [step for step in found if not (quick and step is demo)]


def write_inputs(folder: Path) -> None:
    """Write what a newcomer brings along: two polygons and a folder of maps."""
    for name, (west, south, east, north) in (("alaska", ALASKA), ("mexico", MEXICO)):
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        outline = {"type": "Polygon", "coordinates": [ring]}
        (folder / f"{name}.geojson").write_text(json.dumps(outline), "utf-8")
    (folder / "maps").mkdir()
    for path in (DATA / "mexico_city").glob("*_cc.tif"):
        (folder / "maps" / path.name).write_bytes(path.read_bytes())


def timed(step: Step, folder: Path) -> tuple[float, str]:
    """Run a step; return its seconds and the last line of words that it printed."""
    words = [str(next(folder.glob("*.whl"))) if word == "WHEEL" else word for word in step.command]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    began = time.perf_counter()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=clean)
    seconds = time.perf_counter() - began
    missing = [name for name in step.makes if not (folder / name).is_file()]
    if done.returncode or missing:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
        sys.exit(f"{step.what}: exit code {done.returncode}, not made: {', '.join(missing) or 'nothing'}")
    lines = [line.strip(" │┃") for line in (done.stdout or done.stderr).splitlines() if re.search(r"\w{2}", line)]
    return seconds, re.sub(r"\s*[│┃|]\s*", "; ", lines[-1]) if lines else ""


def left_by_the_demo(folder: Path) -> float:
    """Return the megabytes that the demonstration leaves; its scenes must be gone."""
    if list((folder / "demo").rglob("*.SAFE")):
        sys.exit("insar-mining demo: its scenes are still there")
    return sum(path.stat().st_size for path in (folder / "demo").rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Run all steps, print the table, and write it unless steps were left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to work; new or empty (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="leave out the demonstration and write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        write_inputs(folder)
        rows = [(step.what, *timed(step, folder)) for step in steps(folder, quick=options.quick)]
        left = None if options.quick else left_by_the_demo(folder)
    total = sum(seconds for _, seconds, _ in rows)
    lines = ["# The first ten minutes", "", f"`python benchmarks/first_ten_minutes.py`, {machine()}.", ""]
    lines += ["| step | seconds | last line printed |", "|---|---|---|"]
    lines += [f"| {what} | {seconds:.1f} | {last[:120]} |" for what, seconds, last in rows]
    lines += [f"| all | {total:.0f} | |", ""]
    if left is not None:
        lines += [f"The demonstration leaves {left:.0f} MB; its simulated scenes are deleted.", ""]
        (HERE / "results" / "first_ten_minutes.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
