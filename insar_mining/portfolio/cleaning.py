"""What a portfolio no longer needs: pixels of finished mines, files of the store that no unfinished mine uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insar_mining.download.integrity import note_path
from insar_mining.files import delete
from insar_mining.pipeline.acquisition import FOLDER as ARCHIVE
from insar_mining.pipeline.maps import DATES
from insar_mining.pipeline.preparation import MAPS
from insar_mining.portfolio import store
from insar_mining.portfolio.plan import Portfolio
from insar_mining.portfolio.runs import drop_pixels
from insar_mining.portfolio.work import RESULTS


def may_go(portfolio: Portfolio, *, now: bool = False) -> list[dict[str, Any]]:
    """List what may be deleted without any finished result being lost, and delete it if asked.

    Products of the store have the links of the mines' own folders: their bytes are free when the last name is gone.

    Returns
    -------
    list of dict
        what, bytes.
    """
    ledger, found = portfolio.ledger, []
    unfinished = False
    for task in portfolio.tasks:
        folder = portfolio.folder / RESULTS / task.id.removeprefix("mine-")
        if ledger.why_again(task):
            unfinished = True
            continue
        with ledger.claimed(task.id, wait=False) as is_free:
            if not is_free:
                unfinished = True
                continue
            for part in (folder / MAPS / DATES, folder / ARCHIVE):
                size = _bytes(part)
                if size:
                    found.append({"what": part.relative_to(portfolio.folder).as_posix(), "bytes": size})
            if now:
                drop_pixels(folder)
    if not unfinished:
        products = portfolio.folder / store.FOLDER / "products"
        size = _bytes(products)
        if size:
            found.append({"what": products.relative_to(portfolio.folder).as_posix(), "bytes": size})
        if now:
            _drop(products)
    return found


def _drop(products: Path) -> None:
    for path in sorted(products.glob("*")) if products.is_dir() else ():
        if not path.name.startswith("."):
            delete(path, store.PRODUCT)
            delete(note_path(path), store.PRODUCT)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
