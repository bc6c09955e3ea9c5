"""``insar-mining doctor``: what this machine has, and how to mend what it lacks."""

from __future__ import annotations

from dataclasses import asdict

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_json
from insar_mining.errors import EngineError

app = parameters.new_app()

MARKS = {"ok": "ok    ", "advice": "advice", "fault": "FAULT "}


@app.command()
def doctor(as_json: parameters.Json = False) -> None:
    """Look for SNAP, its version and toolboxes, Java, esa_snappy, memory, disk, credentials, PROJ and GDAL.

    The exit code is 1 if something is set up wrongly; what is merely missing is advice.
    """
    from insar_mining.coherence.snap.doctor import FAULT, examine

    found = examine()
    if as_json:
        print_json([asdict(examination) for examination in found])
    else:
        for examination in found:
            typer.echo(f"{MARKS[examination.state]}  {examination.name}: {examination.found}")
            if examination.remedy:
                typer.echo(f"        -> {examination.remedy}")
    faults = [examination.name for examination in found if examination.state == FAULT]
    if faults:
        raise EngineError(f"set up wrongly: {', '.join(faults)}; each has its remedy above")
