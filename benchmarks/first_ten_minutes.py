"""Time the first ten minutes of a newcomer: install from the wheel, demo, own polygon, own maps, first plot.

    python benchmarks/first_ten_minutes.py [--folder DIR]

Every step runs in a fresh environment that holds the wheel and nothing of this clone; a step that fails ends it. The
dry run searches a recorded answer of ASF's catalogue (bursts over south-east Alaska, tests/data/asf), so that it needs
no network; pip does. Kept in ``benchmarks/results/first_ten_minutes.md``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from noise import machine

HERE = Path(__file__).parent
ROOT = HERE.parent

ANSWER = ROOT / "tests" / "data" / "asf" / "burst_166.json.xz"
DEMO_MINE = "demo/simulated/mine.geojson"
BOX = "-135.92 57.03, -135.90 57.03, -135.90 57.05, -135.92 57.05, -135.92 57.03"

# the command line as it is, but for the answer of the catalogue
DRY_RUN = """
import json, lzma, sys
from pathlib import Path
from insar_mining.__main__ import main
from insar_mining.cli import inputs
from insar_mining.pipeline.acquisition import Network
from insar_mining.scenes.records import records_table

def recorded(mine, start, end, **conditions):
    table = records_table(json.loads(lzma.decompress(Path(sys.argv[1]).read_bytes()))["items"])
    days = table["start"].dt.strftime("%Y-%m-%d")
    return table[(days >= str(start)[:10]) & (days <= str(end)[:10])].reset_index(drop=True)

inputs.open_network = lambda: Network(search=recorded)
Path("own.wkt").write_text("POLYGON ((" + sys.argv[2] + "))")
sys.argv[1:] = ["run", "own.wkt", "--start", "2018-01-01", "--end", "2020-12-31", "--dry-run"]
main()
"""

FIRST_PLOT = """
import insar_mining as im
from insar_mining.report.plots import plot_mine, mean_coherence
mine = im.read_mines("demo/simulated/mine.geojson")[0]
plot_mine(mean_coherence(im.open_stack("demo/coherence", mine)), mine).figure.savefig("first.png")
"""


@dataclass(frozen=True)
class Step:
    """One step: what a newcomer does, and how."""

    what: str
    command: tuple[str, ...]


def steps(folder: Path) -> list[Step]:
    """Return the steps in their order; `folder` holds the environment and everything that is made."""
    python, own = str(folder / "env" / "bin" / "python"), str(folder / "env" / "bin" / "insar-mining")
    return [
        Step("make an environment", (sys.executable, "-m", "venv", str(folder / "env"))),
        Step("build the wheel", (python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))),
        Step("install the wheel", (python, "-m", "pip", "install", "--quiet", "WHEEL")),
        Step("insar-mining --help", (own, "--help")),
        Step("insar-mining demo", (own, "demo", "--out", "demo")),
        Step("own polygon, --dry-run", (python, "-c", DRY_RUN, str(ANSWER), BOX)),
        Step("own folder of maps", (own, "analyse", "demo/coherence", "--mine", DEMO_MINE, "-o", "own")),
        Step("first plot", (python, "-c", FIRST_PLOT)),
    ]


def timed(step: Step, folder: Path) -> tuple[float, str]:
    """Run a step; its seconds and the last line that it printed."""
    words = [str(next(folder.glob("*.whl"))) if word == "WHEEL" else word for word in step.command]
    began = time.perf_counter()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{step.what}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return seconds, lines[-1] if lines else ""


def main() -> None:
    """Run all steps and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [(step.what, *timed(step, folder)) for step in steps(folder)]
    total = sum(seconds for _, seconds, _ in rows)
    lines = ["# The first ten minutes", "", f"`python benchmarks/first_ten_minutes.py`, {machine()}.", ""]
    lines += ["| step | seconds | last line printed |", "|---|---|---|"]
    lines += [f"| {what} | {seconds:.1f} | {last[:100].replace('|', '/')} |" for what, seconds, last in rows]
    lines += [f"| all | {total:.0f} | |", ""]
    (HERE / "results" / "first_ten_minutes.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
