"""The job of one mine of a portfolio: a run as of one mine alone, with files from the store."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import shapely

from insar_mining.files import delete
from insar_mining.geo.mines import Mine
from insar_mining.options.models import RunOptions
from insar_mining.pipeline import run
from insar_mining.pipeline.acquisition import FOLDER as ARCHIVE
from insar_mining.pipeline.acquisition import Network
from insar_mining.pipeline.maps import DATES
from insar_mining.pipeline.preparation import MAPS
from insar_mining.portfolio import store as stores
from insar_mining.portfolio.ledger import Task
from insar_mining.portfolio.work import RESULTS, Finished, Steps

CACHED = re.compile(r"[0-9a-f]{64}\.npy")
LINKED = re.compile(r"([A-Za-z0-9_.-]+/)?\.?[A-Za-z0-9_.-]+\.(tiff|xml|zip|json)")


def run_mine(
    task: Task, folder: Path, steps: Steps, *, keep: str = "all", attempt: str = "", network: Any = None
) -> Finished:
    """Run one mine of a portfolio into ``mines/<id>``.

    Parameters
    ----------
    task : Task
        Its inputs are those that `insar_mining.portfolio.plan` writes: mine, options and, if products are to be
        fetched, the files of records.
    keep : {"all", "none"}
        ``"none"`` deletes pixels after use: resampled dates and links to products; maps and tables stay.
    attempt : str
        See :class:`insar_mining.portfolio.store.Store`.
    network : callable, optional
        Returns the network to fetch through.
    """
    inputs = task.inputs
    mine = Mine(inputs["mine"]["id"], inputs["mine"]["name"], shapely.from_wkt(inputs["mine"]["geometry"]),
                {"country": inputs["mine"].get("country", "")})  # fmt: skip
    options = RunOptions(**task.how["options"])
    out = folder / RESULTS / mine.id
    base = Network() if network is None else network()
    store = stores.Store(folder / stores.FOLDER, attempt or str(os.getpid()), base.login)
    records = None if options.scenes is not None else _records(folder, task.how["records"])
    kept = out / MAPS / DATES
    result = run(mine, out=out, options=options, network=store.network(base, records), progress=steps)
    measured = {
        "pairs": len(result.scenes),
        "maps_kept": result.kept_maps,
        "fetched_bytes": sum(store.fetched.values()),
        "kept_bytes": sum(path.stat().st_size for path in kept.glob("*.npy")) if kept.is_dir() else 0,
    }
    if keep == "none":
        drop_pixels(out)
    lost = [{"what": what, "reason": _plain_reason(reason)} for what, reason in sorted(store.lost.items())]
    return Finished(out, lost, (ARCHIVE,), measured)


def drop_pixels(out: Path) -> None:
    """Delete the resampled dates and the products of a result; its maps and tables stay."""
    delete(out / MAPS / DATES, DATES, CACHED)
    archive = out / ARCHIVE
    if archive.is_dir() and not archive.is_symlink():
        delete(archive, ARCHIVE, LINKED)


def _plain_reason(reason: str) -> str:
    return " ".join(reason.split())


def _records(folder: Path, names: Sequence[str]) -> Any:
    """Return the records of some bursts, by time."""
    from insar_mining.scenes.records import read_records

    tables = [read_records(folder / name) for name in sorted(names)]
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    return table.sort_values(["start", "scene"], kind="stable", ignore_index=True)
