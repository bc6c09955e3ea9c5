"""``insar-mining portfolio``: many mines, planned, run and reported together."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from insar_mining.cli import inputs, parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.run import OFFERED as RUN_OFFERED
from insar_mining.cli.speech import Speech, print_json, print_record, print_table, print_text, speech_of
from insar_mining.errors import ArchiveError, OptionError
from insar_mining.options.base import Options
from insar_mining.options.models import RunOptions

if TYPE_CHECKING:
    from insar_mining.portfolio.ledger import Task
    from insar_mining.portfolio.plan import Portfolio

app = parameters.new_app()

Folder = Annotated[Path, typer.Argument(help="Folder of a planned portfolio.")]
Source = Annotated[Path, typer.Argument(help="Vector file of polygons, or the folder of a planned portfolio.")]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="The portfolio's folder (default <file>-portfolio).", show_default=False),
]
OFFERED = tuple(name for name in RUN_OFFERED if name not in ("mine", "mine_id"))


class Gathering(Options):
    """Describe how polygons become mines, and where their images are looked up."""

    distance: float = Field(5.0, description="Polygons nearer than this are one mine, kilometres.")
    assets: Path | None = Field(None, description="Points with names to link to the mines (CSV or vector).")
    catalogue: Path | None = Field(None, description="Records of `search -o`, instead of a search.")
    layer: str | None = Field(None, description="Layer of the file, if it has several.")


class Estimating(Gathering):
    """Describe what is estimated without a catalogue."""

    world: Path | None = Field(None, description="Only estimate what the mines of a file cost, without a catalogue.")
    years: float = Field(9.0, description="Length of the period for --world.")


class Working(Options):
    """Describe who runs the mines, which of them, and what stays."""

    workers: int | None = Field(
        None, ge=0, description="Processes (default as many as the machine carries); 0 works in this one."
    )
    dask: bool = Field(False, description="Start the workers with dask.distributed.")
    scheduler: str | None = Field(None, description="Workers of this dask scheduler, tcp://HOST:PORT.")
    shard: str | None = Field(None, description="Only one part of several, I/N, for array jobs.")
    keep: str = Field("all", description="What stays of the pixels: all, or none after use.")
    retry: bool = Field(False, description="Do mines again of which dates could not be fetched.")
    performance_report: Path | None = Field(None, description="File for dask's report (HTML).")
    publish: str | None = Field(None, description="Copy results to this URL (file, s3, gs).")
    json_lines: bool = Field(False, description="Print one JSON object for every finished mine.")


@app.command()
@with_options(RunOptions, OFFERED, config=True)
@with_options(Estimating, into="gathering")
def plan(
    ctx: typer.Context,
    options: RunOptions,
    gathering: Estimating,
    portfolio: Annotated[Path | None, typer.Argument(help="Vector file of polygons of mines.")] = None,
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Read polygons, make mines of them, choose tracks, and tell bursts, bytes, hours and disk."""
    if gathering.world is not None:
        cost = _world(gathering.world, gathering.years, gathering.distance, gathering.layer)
        print_record(cost, as_json=as_json)
        return
    if portfolio is None:
        raise OptionError("portfolio plan: has no file of polygons. Give one as the first argument, or --world FILE")
    made = _planned(portfolio, options, out, gathering)
    _print_plan(made, speech_of(ctx), as_json=as_json)


@app.command()
@with_options(RunOptions, OFFERED, config=True)
@with_options(Gathering, into="gathering")
@with_options(Working, into="working")
def run(
    ctx: typer.Context,
    options: RunOptions,
    gathering: Gathering,
    working: Working,
    portfolio: Source,
    out: Out = None,
) -> None:
    """Run every mine of a portfolio; begun again, it goes on where it was."""
    from insar_mining.portfolio import executors
    from insar_mining.portfolio.runs import run_mine

    if working.keep not in ("all", "none"):
        raise OptionError(f"--keep: unknown ({working.keep!r}, limit all or none). Choose one of these")
    if working.publish is not None:  # before hours of work
        from insar_mining.portfolio.objects import storage_of

        storage_of(working.publish)
    if portfolio.is_dir():
        _refuse_given(portfolio, options, gathering.assets, gathering.catalogue, out)
        made = _open(portfolio)
    else:
        made = _planned(portfolio, options, out, gathering)
    tasks = made.tasks if working.shard is None else executors.shard_of(made.tasks, working.shard)
    job = functools.partial(run_mine, keep=working.keep, attempt=os.urandom(8).hex(), network=inputs.open_network)
    speech = speech_of(ctx)
    with speech.progress() as show:
        event = _reporter(tasks, show, json_lines=working.json_lines)
        states = _execute(made, tasks, job, event, working)
    if working.keep == "none":
        _drop_shared(made)
    if working.publish is not None:
        from insar_mining.portfolio.objects import publish as copy

        speech.say(f"{copy(made, working.publish)} files copied to {working.publish}")
    _tell_end(made, states, speech)


@app.command()
def status(portfolio: Folder, as_json: parameters.Json = False) -> None:
    """List what is done, running and failed, and why."""
    import pandas as pd

    made = _open(portfolio)
    rows = []
    for mine in made.mines:
        task = _task_of(made, str(mine["id"]))
        state, reason = ("not run", mine["problem"]) if task is None else made.ledger.state(task)
        record = None if task is None else made.ledger.record(task.id)
        seconds = record.measured.get("seconds") if record is not None else None
        rows.append({"mine": mine["id"], "name": mine["name"], "state": state, "seconds": seconds, "why": reason})
    table = pd.DataFrame(rows, columns=["mine", "name", "state", "seconds", "why"])
    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    print_table(table, as_json=as_json, title=f"{len(table)} mines: {counts}")


@app.command()
def explain(
    portfolio: Folder,
    mine: Annotated[str | None, typer.Argument(help="Id of a mine; by default all that will be done.")] = None,
    as_json: parameters.Json = False,
) -> None:
    """Explain why a mine will be done (again), or what it took."""
    made = _open(portfolio)
    if mine is None:
        told = [{"mine": t.id.removeprefix("mine-"), "why": made.ledger.why_again(t)} for t in made.tasks]
        again = [one for one in told if one["why"]]
        if as_json:
            print_json(again)
        for one in () if as_json else again:
            print_text(f"{one['mine']}: {one['why']}")
        if not again and not as_json:
            left_out = sum(bool(row["problem"]) for row in made.mines)
            print_text(
                f"nothing will be done: {len(made.tasks)} mines are finished"
                + (f", {left_out} cannot be run (`portfolio status` says why)" if left_out else "")
            )
        return
    known = next((row for row in made.mines if row["id"] == mine), None)
    if known is None:
        raise OptionError(f"mine {mine!r}: is not in the portfolio. `portfolio status` lists its mines")
    task = _task_of(made, mine)
    record = None if task is None else made.ledger.record(task.id)
    why = known["problem"] if task is None else made.ledger.why_again(task)
    answer: dict[str, Any] = {
        "mine": mine,
        "state": "not run" if task is None else made.ledger.state(task)[0],
        "why": why,
    }
    if record is not None:
        answer |= {
            "error": record.error,
            "lost": list(record.lost),
            "planned_seconds": None if task is None else task.seconds,
            "measured": record.measured,
            "finished": record.finished,
        }
    print_record(answer, as_json=as_json)


@app.command()
def clean(
    portfolio: Folder,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; without this only list it.")] = False,
    as_json: parameters.Json = False,
) -> None:
    """List what may go: pixels of finished mines, with bytes."""
    from insar_mining.portfolio.cleaning import may_go

    made = _open(portfolio)
    found = may_go(made, now=delete)
    if as_json:
        print_json(found)
        return
    for one in found:
        print_text(f"{one['bytes'] / 1e6:10.1f} MB  {one['what']}{'  (deleted)' if delete else ''}")
    total = sum(int(one["bytes"]) for one in found)
    print_text(f"{total / 1e6:10.1f} MB in all" + ("; --delete takes it away" if found and not delete else ""))


@app.command()
def report(portfolio: Folder) -> None:
    """Write the report of all mines (report.html) and the sums of countries (countries.csv)."""
    from insar_mining.portfolio.report import write_portfolio_report

    print_text(str(write_portfolio_report(_open(portfolio))))


def _planned(
    source: Path,
    options: RunOptions,
    out: Path | None,
    gathering: Gathering,
) -> Portfolio:
    from insar_mining.portfolio.plan import plan_portfolio

    session = inputs.open_network().catalogue
    placed = {name: path.absolute() for name in ("scenes", "dem") if (path := getattr(options, name)) is not None}
    options = options.replace(**placed)  # workers may run in other folders
    folder = (out or Path(f"{Path(str(source).partition('|')[0]).stem}-portfolio")).absolute()
    return plan_portfolio(
        source,
        folder,
        options,
        distance_m=1000 * gathering.distance,
        assets=gathering.assets,
        catalogue=gathering.catalogue,
        layer=gathering.layer,
        session=session,
    )


def _refuse_given(folder: Path, options: RunOptions, *others: Path | None) -> None:
    """Refuse options of planning for a portfolio that is planned."""
    if options != RunOptions() or any(value is not None for value in others):
        raise OptionError(
            f"{folder}: is planned already, so options of planning have no effect. Plan the polygons again into it "
            "(insar-mining portfolio plan FILE --out FOLDER)"
        )


def _open(folder: Path) -> Portfolio:
    from insar_mining.portfolio.plan import open_portfolio

    return open_portfolio(folder.absolute())


def _task_of(made: Portfolio, mine: str) -> Task | None:
    return next((task for task in made.tasks if task.id == f"mine-{mine}"), None)


def _execute(made: Portfolio, tasks: list[Task], job: Any, event: Any, working: Working) -> dict[str, str]:
    """Choose who does the tasks."""
    from insar_mining.portfolio import executors

    count = executors.workers_here(working.workers) if working.workers != 0 else 0
    if working.scheduler is not None or working.dask or working.performance_report is not None:
        with executors.dask_pool(working.scheduler, max(count, 1), report=working.performance_report) as pool:
            return executors.execute(tasks, made.folder, job, pool, event, again=working.retry)
    if count == 0:
        return executors.execute(tasks, made.folder, job, None, event, again=working.retry)
    with executors.local_pool(count) as processes:
        return executors.execute(tasks, made.folder, job, processes, event, again=working.retry)


def _reporter(tasks: list[Task], show: Callable[[str, int, int], None], *, json_lines: bool) -> Any:
    """Return what is called for every finished mine: one bar with the time left, and a JSON line if asked."""
    begun, total = time.monotonic(), sum(task.seconds for task in tasks) or 1.0
    finished: list[Task] = []

    def event(task: Task, state: str, seconds: float) -> None:
        finished.append(task)
        share = sum(one.seconds for one in finished) / total
        left = (time.monotonic() - begun) * (1 - share) / share if share > 0 else 0.0
        show("mines", len(finished), len(tasks))
        if json_lines:
            line = {"mine": task.id.removeprefix("mine-"), "state": state, "seconds": round(seconds, 2),
                    "done": len(finished), "of": len(tasks), "seconds_left": round(left)}  # fmt: skip
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    show("mines", 0, len(tasks))
    return event


def _drop_shared(made: Portfolio) -> None:
    from insar_mining.portfolio.cleaning import may_go

    may_go(made, now=True)


def _tell_end(made: Portfolio, states: dict[str, str], speech: Speech) -> None:
    """Report how a portfolio ended; a failed mine is an error of the command, after all others are done."""
    from collections import Counter

    counts = Counter(states.values())
    speech.say(
        ", ".join(f"{count} mine{'s' * (count > 1)} {state}" for state, count in sorted(counts.items()))
        or "no mine to run"
    )
    for row in made.mines:
        if row["problem"]:
            speech.say(f"{row['id']} {row['name']}: not run: {row['problem']}")
    failed = [task for task, state in states.items() if state == "failed"]
    if failed:
        record = made.ledger.record(failed[0])
        reason = "" if record is None else f" ({failed[0]}: {record.error.get('message', '')})"
        raise ArchiveError(
            f"portfolio: {len(failed)} of {len(states)} mines failed{reason}. See `portfolio status {made.folder}`"
        )


def _print_plan(made: Portfolio, speech: Speech, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"folder": str(made.folder), "made_from": made.made_from, "totals": made.totals, "mines": made.mines}
        )
        return
    totals = made.totals
    print_text(f"{made.made_from['polygons']} polygons are {totals['mines']} mines; {totals['not_run']} cannot be run")
    print_text(
        f"{totals['tracks']} tracks, {totals['burst_stacks']} burst stacks, each for {totals['shared_by']:.2f} mines"
    )
    print_text(
        f"{totals['burst_files']} burst files, {totals['download_bytes'] / 1e9:,.2f} GB; "
        f"{totals['disk_bytes'] / 1e9:,.2f} GB on the disk in the end, {totals['disk_bytes_keep_none'] / 1e9:,.2f} GB "
        "with --keep none"
    )
    print_text(f"{totals['core_hours']:,.2f} core-hours, by {totals['costs_from']}; plan: {made.folder}")
    for row in made.mines:
        if row["problem"]:
            speech.say(f"{row['id']} {row['name']}: {row['problem']}")


def _world(file: Path, years: float, distance_km: float, layer: str | None) -> dict[str, Any]:
    """Estimate what the mines of a file cost."""
    import dataclasses

    from insar_mining.portfolio.costs import world_cost
    from insar_mining.portfolio.footprints import mines_of, read_footprints

    mines = mines_of(read_footprints(file, layer=layer), distance_m=1000 * distance_km)
    cost = world_cost(mines, years=years)
    return {"years": years, **dataclasses.asdict(cost)}
