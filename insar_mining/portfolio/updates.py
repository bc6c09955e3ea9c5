"""Keep all results of a portfolio up to date in one call, and report what changed at any of its mines.

What was reported last is recorded mine by mine, and written after the report: an update that was killed reports its
changes the next time.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from insar_mining.doors import guarded, parse_json
from insar_mining.errors import InsarMiningError, OutputError
from insar_mining.files import sha256, write_text
from insar_mining.pipeline.acquisition import FOLDER as ARCHIVE
from insar_mining.pipeline.acquisition import Network
from insar_mining.pipeline.lock import folder_lock
from insar_mining.portfolio import store as stores
from insar_mining.portfolio.ledger import Task, outputs_of
from insar_mining.portfolio.monitor import CHANGED, FOLDER, LATEST, NEW_DATA, NOTHING_NEW, update
from insar_mining.portfolio.plan import PLAN, Portfolio, open_portfolio
from insar_mining.portfolio.report import environment
from insar_mining.portfolio.work import RESULTS, fault_of_all_mines

REPORTED = "reported.json"
OF_A_DATE = re.compile(r"\d{8}\.json", re.ASCII)

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class PortfolioUpdate:
    """Hold what an update of a portfolio found.

    Attributes
    ----------
    code : int
        0 nothing new, 10 new dates without a change, 11 a change at one mine at least.
    mines : tuple of mappings
        Those with something new: ``mine``, ``name``, ``new_pairs``, ``changes`` (as of
        :class:`insar_mining.portfolio.monitor.Update`).
    failures : tuple of mappings
        ``mine``, ``name`` and ``reason`` of those that could not be updated.
    waiting : tuple of str
        Mines without a finished result, which `portfolio run` does first.
    files : tuple of Path
        JSON and HTML; none if nothing is new.
    """

    code: int
    mines: tuple[Mapping[str, Any], ...]
    failures: tuple[Mapping[str, str], ...]
    waiting: tuple[str, ...]
    files: tuple[Path, ...] = ()


def is_portfolio(folder: Path) -> bool:
    """Check whether a folder holds a planned portfolio."""
    return (folder / PLAN).is_file()


def update_portfolio(
    folder: Path | str,
    *,
    end: dt.date | str | None = None,
    network: Network | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> PortfolioUpdate:
    """Add later dates to every finished result of a portfolio, and report what changed since the last time.

    Files are fetched into the portfolio's store, each once.  A mine that cannot be updated does not keep the others
    from it.

    Parameters
    ----------
    folder : path
        Of the portfolio.
    end : date, optional
        Last day to add; by default today.
    network : Network, optional

    Raises
    ------
    OutputError
        The folder holds no portfolio, another update works in it, or its disk is full or read-only.
    """
    made = open_portfolio(Path(folder).absolute())
    base = network or Network()
    failures, waiting = [], []
    with folder_lock(made.folder / FOLDER):
        reported = _reported(made.folder)
        attempt = os.urandom(8).hex()
        for number, task in enumerate(made.tasks):
            progress("mines", number, len(made.tasks))
            if not _has_result(made, task):
                waiting.append(_id(task))
                continue
            store = stores.Store(made.folder / stores.FOLDER, attempt, base.login)
            try:
                _update_mine(made, task, store.network(base, None), end)
            except InsarMiningError as error:
                if fault_of_all_mines(error):
                    raise
                failures.append({**_named(task), "reason": " ".join(str(error).split())})
        progress("mines", len(made.tasks), len(made.tasks))
        found = [one for task in made.tasks if (one := _unreported(made, task, reported))]
        code = max((CHANGED if one["changes"] else NEW_DATA for one in found), default=NOTHING_NEW)
        files = _written(made, found, failures, waiting) if found else ()
        if found:
            now = {**reported, **{key: value for one in found for key, value in one["read"].items()}}
            write_text(made.folder / FOLDER / REPORTED, json.dumps(now, indent=0, sort_keys=True) + "\n")
            found = [{key: value for key, value in one.items() if key != "read"} for one in found]
    return PortfolioUpdate(code, tuple(found), tuple(failures), tuple(waiting), files)


def _id(task: Task) -> str:
    return task.id.removeprefix("mine-")


def _named(task: Task) -> dict[str, str]:
    return {"mine": _id(task), "name": str(task.inputs["mine"]["name"])}


def _has_result(made: Portfolio, task: Task) -> bool:
    """Check whether a mine was finished with the present plan; its files may be those of an update that was killed."""
    record = made.ledger.record(task.id)
    return record is not None and record.state in ("done", "partial") and record.identity == task.identity


def _update_mine(made: Portfolio, task: Task, network: Network, end: dt.date | str | None) -> None:
    """Update the result of one mine, and its record with the files that it has now.

    Raises
    ------
    InsarMiningError
        It cannot be updated, or a run works at it.
    """
    folder = made.folder / RESULTS / _id(task)
    with made.ledger.claimed(task.id, wait=False) as is_free:
        if not is_free:
            raise OutputError(f"{task.id}: a run works at it ({made.ledger.holder(task.id)}). Update it after that")
        with warnings.catch_warnings():  # those of a mine are in its own report
            warnings.simplefilter("ignore")
            update(folder, end=end, network=network)
        record = made.ledger.record(task.id)
        if record is not None and made.ledger.why_again(task):
            made.ledger.write(dataclasses.replace(record, outputs=outputs_of(folder, made.folder, (ARCHIVE,))))


def _reported(folder: Path) -> dict[str, str]:
    """Return the files of changes that were reported, with their SHA-256."""
    path = folder / FOLDER / REPORTED
    if not path.exists():
        return {}
    with guarded(OutputError, path, "Move it away: all changes of the mines are then reported again."):
        found = parse_json(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it names no files")
        return {str(name): str(checksum) for name, checksum in found.items()}


def _unreported(made: Portfolio, task: Task, reported: Mapping[str, str]) -> dict[str, Any] | None:
    """Return new pairs and changes of a mine that are in no report yet; None without any.

    A date that came late changes the file of a later one: files are compared, and not dates.
    """
    folder = made.folder / RESULTS / _id(task) / FOLDER
    files = {path: sha256(path) for path in sorted(folder.glob("*.json")) if OF_A_DATE.fullmatch(path.name)}
    files = {path: checksum for path, checksum in files.items() if reported.get(_key(made, path)) != checksum}
    if not files:
        return None
    pairs, changes = [], []
    for path in files:
        with guarded(OutputError, path, "Delete it: its changes are then not reported."):
            values = parse_json(path.read_bytes())
            pairs += [str(pair) for pair in values["new_pairs"]]
            changes += [dict(change) for change in values["changes"]]
            if not all(isinstance(change.get("text"), str) and "kind" in change for change in changes):
                raise ValueError("a change has no text")
    read = {_key(made, path): checksum for path, checksum in files.items()}
    return {
        **_named(task),
        "new_pairs": pairs,
        "changes": changes,
        "last": max(path.stem for path in files),
        "read": read,
    }


def _key(made: Portfolio, path: Path) -> str:
    return path.relative_to(made.folder).as_posix()


def _written(
    made: Portfolio, found: list[dict[str, Any]], failures: list[dict[str, str]], waiting: list[str]
) -> tuple[Path, ...]:
    """Write what is new as JSON and HTML, as the latest and under the name of the last new date."""
    changed = [one for one in found if one["changes"]]
    listed = [{key: value for key, value in one.items() if key != "read"} for one in found]
    values = {"mines": listed, "failures": failures, "waiting": waiting}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    page = (
        environment()
        .get_template("changes_of_portfolio.html.j2")
        .render(changed=changed, quiet=[one for one in found if not one["changes"]], failures=failures, waiting=waiting)
    )
    files = []
    for name in (max(str(one["last"]) for one in found), LATEST):
        files.append(write_text(made.folder / FOLDER / f"{name}.json", text))
        files.append(write_text(made.folder / FOLDER / f"{name}.html", page))
    return tuple(files)
