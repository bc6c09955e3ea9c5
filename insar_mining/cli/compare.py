"""``insar-mining compare``: two maps of coherence beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.errors import RasterError

app = parameters.new_app()


@app.command()
def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(help="Coherence map, such as the built-in engine's.")],
    second: Annotated[Path, typer.Argument(help="Coherence map on the same grid, such as SNAP's.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="GeoTIFF of the difference to write.")] = None,
    as_json: parameters.Json = False,
) -> None:
    """Compare two maps of coherence: difference map, statistics, tolerances.

    The exit code is 1 if they differ by more than one plan on two engines may: median of
    |difference| 0.01, 95th percentile 0.05, mean 0.005, correlation 0.99, masks 0.99.
    """
    from insar_mining.coherence.compare import compare_maps

    found = compare_maps(first, second, out)
    failures = found.failures()
    numbers = {name: round(value, 6) for name, value in found.as_dict().items()}
    print_record({**numbers, "within_tolerance": not failures}, as_json=as_json)
    if out is not None:
        speech_of(ctx).say(f"difference (second - first): {out}")
    if failures:
        raise RasterError(f"the maps differ by more than the tolerances: {'; '.join(failures)}")
