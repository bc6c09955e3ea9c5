"""Run campaigns alone and print what became of the files: ``python -m tests.fuzz [--share 0.1] [KIND ...]``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.fuzz.arena import Arena, no_network
from tests.fuzz.kinds import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--share", type=float, default=1.0, help="of the rounds in full")
    asked = parser.parse_args()
    for kind in KINDS:
        if asked.kinds and kind.name not in asked.kinds:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as home, no_network() as (address, requests):
            arena = Arena(Path(home), address, requests)
            arena.run(kind, max(1, round(kind.rounds * asked.share)))
        print(kind.name, dict(arena.outcomes), f"slowest {arena.slowest_s:.2f} s, {time.monotonic() - began:.1f} s")
        for fault in arena.faults[:60]:
            print("   ", fault)


if __name__ == "__main__":
    main()
