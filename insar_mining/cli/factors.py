"""``insar-mining factors``: look factors up, check tables of them, and compare editions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.inventory import tell_findings
from insar_mining.cli.speech import print_json, print_table, speech_of
from insar_mining.options.base import Options

app = parameters.new_app()


@app.callback(invoke_without_command=True)
def factors(ctx: typer.Context) -> None:
    """Look factors up, check tables of them, and compare editions.

    Every command takes --json.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


class FactorQuery(Options):
    """Describe what a factor is looked up by."""

    gas: str = Field("CO2", description="CO2, CH4, N2O, CO2e, or ore (of a product).")
    asset: str = Field("", description="Its asset_id.")
    organisation: str = Field("", description="Its owner.")
    country: str = Field("", description="ISO 3166 code, or one with a state (AUS-QLD).")
    region: str = Field("", description="Name of a region.")
    date: str = Field("", description="Year or date on which it is valid.")
    factors: tuple[Path, ...] = Field((), description="Table of your own factors; repeat.")


@app.command()
@with_options(FactorQuery)
def find(
    activity: Annotated[str, typer.Argument(help="Such as 'copper ore', 'diesel mobile' or electricity.")],
    options: FactorQuery,
    as_json: parameters.Json = False,
) -> None:
    """Find the nearest factor, and those of the farther levels."""
    from insar_mining.emissions.factors import factors_of, find_factor, read_factors, shipped_factors

    known = factors_of([*(read_factors(path).frame for path in options.factors), shipped_factors()])
    where = options.model_dump(exclude={"gas", "factors"})
    found = find_factor(known, activity, options.gas, **where)
    if as_json:
        print_json(found.to_dict("records"))  # unrounded
    else:
        print_table(found, as_json=False)


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Tables of factors.")],
    as_json: parameters.Json = False,
) -> None:
    """Check tables of factors: units, sources, editions, countries, ties. Exit code 3 if there is an error."""
    from insar_mining.emissions.factors import read_factors
    from insar_mining.emissions.findings import findings_table

    findings = [finding for path in files for finding in read_factors(path).findings]
    print_table(findings_table(findings), as_json=as_json)
    tell_findings(speech_of(ctx), findings, limit=0)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Table of factors.")],
    after: Annotated[Path, typer.Argument(help="Another edition of it.")],
    as_json: parameters.Json = False,
) -> None:
    """Compare two editions of a table: what is new, gone and changed."""
    from insar_mining.emissions.factors import diff_factors, read_factors

    print_table(diff_factors(read_factors(before).frame, read_factors(after).frame), as_json=as_json)
