"""``insar-mining update``: add new dates to a result, and tell what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import inputs, parameters
from insar_mining.cli.speech import print_json, print_text, speech_of

app = parameters.new_app()


@app.command()
def update(
    ctx: typer.Context,
    result: Annotated[Path, typer.Argument(help="Folder of a result of `run`.")],
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last day to add (default today).")] = None,
    as_json: parameters.Json = False,
) -> None:
    """Add what is new to a result, and tell what changed.

    Exit code 0: nothing new; 10: new dates without a change; 11: work started, stopped, or reached new ground.
    """
    from insar_mining.portfolio.monitor import update as do

    speech = speech_of(ctx)
    with speech.progress() as show:
        found = do(result, end=end, network=inputs.open_network(), progress=show)
    if as_json:
        print_json({"code": found.code, "new_pairs": found.new_pairs, "changes": found.changes, "files": found.files})
    else:
        print_text(f"{len(found.new_pairs)} new pairs, {len(found.changes)} changes")
        for change in found.changes:
            print_text(str(change["text"]))
        for path in found.files[-1:]:
            speech.say(f"report: {path}")
    raise typer.Exit(found.code)
