"""The page "Compare with your own SNAP", carried out as written, with the stand-in for gpt where SNAP is looked for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

PAGE = Path(__file__).parents[2] / "docs" / "compare-with-snap.md"


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path, install_snap: Callable[..., Path]) -> None:
    """Simulated hills, both maps, the verdict per zone; the last command needs a container engine."""
    commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert "docker compose" in commands.pop()
    program = tmp_path / "bin" / "insar-mining"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m insar_mining "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "SNAP_HOME": str(install_snap(tmp_path / "snap", "14.0.0")), "INSAR_MINING_SNAP_MEMORY": "2G",
        "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": ":".join(filter(None, sys.path)),
    }  # fmt: skip
    work = tmp_path / "empty"
    work.mkdir()
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(commands)], cwd=work, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    zones = [line for line in ran.stdout.splitlines() if line.startswith("slope ")]
    assert len(zones) >= 2
    assert all(line.endswith("within tolerance") for line in zones)
    for name in ("builtin", "snap"):
        with rasterio.open(work / f"{name}.tif") as source:
            assert source.tags()["ENGINE"] == name
    assert (work / "difference.tif").is_file()
