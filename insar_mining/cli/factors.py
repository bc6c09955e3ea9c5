"""``insar-mining factors``: look factors up, check tables of them, and compare editions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.inventory import Factors, tell_findings
from insar_mining.cli.speech import print_json, print_table, speech_of

app = parameters.new_app()


@app.callback(invoke_without_command=True)
def factors(ctx: typer.Context) -> None:
    """Look factors up, check tables of them, and compare editions.

    Every command takes --json.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command()
def find(
    activity: Annotated[str, typer.Argument(help="Such as 'copper ore', 'diesel mobile' or electricity.")],
    gas: Annotated[str, typer.Option("--gas", help="CO2, CH4, N2O, CO2e, or ore (of a product).")] = "CO2",
    asset: Annotated[str, typer.Option("--asset")] = "",
    organisation: Annotated[str, typer.Option("--organisation")] = "",
    country: Annotated[str, typer.Option("--country", help="ISO 3166 code, or one with a state (AUS-QLD).")] = "",
    region: Annotated[str, typer.Option("--region")] = "",
    date: Annotated[str, typer.Option("--date", help="Year or date on which it is valid.")] = "",
    tables: Factors = None,
    as_json: parameters.Json = False,
) -> None:
    """Find the nearest factor, and those of the farther levels."""
    from insar_mining.emissions.factors import factors_of, find_factor, read_factors, shipped_factors

    known = factors_of([*(read_factors(path).frame for path in tables or []), shipped_factors()])
    found = find_factor(
        known, activity, gas, asset=asset, organisation=organisation, country=country, region=region, date=date
    )
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
