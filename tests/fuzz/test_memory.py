"""Small files that stand for something large are refused, or read, with less than a gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fuzz.memory import CASES, MOST_BYTES

MOST_MB = 1000


def test_no_small_file_takes_a_gigabyte(tmp_path: Path) -> None:
    """All in one process, which makes a child for every file: what it imports is imported once."""
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.memory", str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert set(found) == set(CASES)
    for name, (size, outcome, peak_mb) in found.items():
        assert size < 1.1 * MOST_BYTES, name
        assert outcome == "read" or outcome.endswith("Error"), f"{name}: {outcome}"
        assert not outcome.startswith("raw"), f"{name}: {outcome}"
        assert 0 < peak_mb < MOST_MB, f"{name}: {peak_mb} MB"
