"""``insar-mining update``: add new dates to a result, and tell what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import inputs, parameters
from insar_mining.cli.speech import ProgressCallback, Speech, print_json, print_text, speech_of

app = parameters.new_app()


@app.command()
def update(
    ctx: typer.Context,
    result: Annotated[Path, typer.Argument(help="Folder of a result of `run`, or of a portfolio.")],
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last day to add (default today).")] = None,
    as_json: parameters.Json = False,
) -> None:
    """Add what is new to a result, or to all of a portfolio, and tell what changed.

    Exit code 0: nothing new; 10: new dates without a change; 11: work started, stopped, or reached new ground; 1: an
    error (of a portfolio: a mine could not be updated, after all others were).
    """
    from insar_mining.portfolio.updates import is_portfolio

    speech = speech_of(ctx)
    with speech.progress() as show:
        if is_portfolio(result):
            code = _update_portfolio(result, end, show, speech, as_json=as_json)
        else:
            code = _update_result(result, end, show, speech, as_json=as_json)
    raise typer.Exit(code)


def _update_result(result: Path, end: str | None, show: ProgressCallback, speech: Speech, *, as_json: bool) -> int:
    """Update one result; return the exit code."""
    from insar_mining.portfolio.monitor import update as do

    found = do(result, end=end, network=inputs.open_network(), progress=show)
    if as_json:
        print_json({"code": found.code, "new_pairs": found.new_pairs, "changes": found.changes, "files": found.files})
        return found.code
    print_text(f"{len(found.new_pairs)} new pairs, {len(found.changes)} changes")
    for change in found.changes:
        print_text(str(change["text"]))
    for path in found.files[-1:]:
        speech.say(f"report: {path}")
    return found.code


def _update_portfolio(folder: Path, end: str | None, show: ProgressCallback, speech: Speech, *, as_json: bool) -> int:
    """Update all results of a portfolio; return the exit code, or raise an error after all if a mine failed.

    Raises
    ------
    ArchiveError
        A mine could not be updated.
    """
    from insar_mining.errors import ArchiveError
    from insar_mining.portfolio.updates import update_portfolio

    found = update_portfolio(folder, end=end, network=inputs.open_network(), progress=show)
    if as_json:
        told = {"code": found.code, "mines": found.mines, "failures": found.failures, "waiting": found.waiting}
        print_json({**told, "files": found.files})
    else:
        changed = [one for one in found.mines if one["changes"]]
        print_text(f"{len(found.mines)} mines with new dates, {len(changed)} of them with changes")
        for one in changed:
            for change in one["changes"]:
                print_text(f"{one['name'] or one['mine']}: {change['text']}")
        for path in found.files[-1:]:
            speech.say(f"report: {path}")
    if found.failures:
        first = found.failures[0]
        raise ArchiveError(
            f"update: {len(found.failures)} mines could not be updated ({first['mine']}: {first['reason']}). Begin "
            "again: the others are done"
        )
    return found.code
