"""``insar-mining emissions``: ore and emissions from active area."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_table, speech_of
from insar_mining.errors import OptionError

app = parameters.new_app()


@app.command()
def emissions(
    ctx: typer.Context,
    activity: Annotated[Path, typer.Argument(help="activity.csv of a result.")],
    production: Annotated[
        Path,
        typer.Option("--production", help="CSV with the columns year, production_t (tonnes) and, if known, factor_t_t"),
    ],
    factor: Annotated[
        float | None, typer.Option("--factor", help="t CO2e per tonne of ore, of years without a factor.", min=0)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Tonnes of ore per m2, of years without report; default from the others.", min=0),
    ] = None,
    area: Annotated[
        str, typer.Option("--area", help="ground (true cell areas) or nominal (100 m2 per pixel, for parity).")
    ] = "ground",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for emissions.csv.")] = None,
    as_json: parameters.Json = False,
) -> None:
    """Turn active area into ore and emissions per year.

    Years with reported production keep it; the others get the reported years' tonnes per area.
    """
    from insar_mining.pipeline.outputs import write_table
    from insar_mining.pipeline.tonnes import AREAS, emissions_table, read_table

    if area not in AREAS:
        raise OptionError(f"--area is {area!r}: must be {' or '.join(AREAS)}")
    table = emissions_table(read_table(activity), read_table(production), factor_t_t=factor, rate_t_m2=rate, area=area)
    print_table(table, as_json=as_json)
    if out is not None:
        speech_of(ctx).say(f"written: {write_table(out / 'emissions.csv', table)}")
