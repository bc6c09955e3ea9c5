"""``insar-mining inventory``: ore, emissions and land carbon of many mines, or the processes of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import Speech, print_table, speech_of

if TYPE_CHECKING:
    from insar_mining.emissions.findings import Finding

app = parameters.new_app()

FAULTY = 3  # exit code where a finding is an error

Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the tables.")]
Factors = Annotated[
    list[Path] | None,
    typer.Option("--factors", help="Table of factors; repeat. The nearest level wins.", metavar="FILE"),
]
Gwp = Annotated[str, typer.Option("--gwp", help="Set of warming potentials: AR4, AR5 or AR6.")]


@app.callback(invoke_without_command=True)
def inventory(ctx: typer.Context) -> None:
    """From active area to ore, emissions, inventories and carbon.

    Exit code 3: a finding is an error. Every command takes --json.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def tell_findings(speech: Speech, findings: Sequence[Finding], limit: int = 20) -> None:
    """Print findings to stderr, errors first, and end with exit code 3 if there is an error."""
    from insar_mining.emissions.findings import has_error

    order = ("error", "warning", "note")
    for finding in sorted(findings, key=lambda f: order.index(f.severity))[:limit]:
        tell = {"error": speech.fail, "warning": speech.warn}.get(finding.severity, speech.say)
        tell(str(finding))
    if len(findings) > limit:
        speech.say(f"{len(findings) - limit} more findings: see findings.csv")
    if has_error(findings):
        raise typer.Exit(FAULTY)


@app.command("estimate")
def estimate_command(
    ctx: typer.Context,
    assets: Annotated[Path, typer.Argument(help="CSV of assets: asset_id, name, iso3, mineral, ...")],
    reported: Annotated[
        Path | None, typer.Option("--reported", help="CSV: asset_id, year, quantity, value, unit, source.")
    ] = None,
    activity: Annotated[
        Path | None, typer.Option("--activity", help="CSV: asset_id (or mine_id), year, area_m2 and its interval.")
    ] = None,
    factors: Factors = None,
    gwp: Gwp = "AR6",
    ore: Annotated[
        str, typer.Option("--ore", help="Ore from area: model (mixed effects), rate (t/m2), or auto.")
    ] = "auto",
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Estimate ore and emissions of assets, countries, minerals and the world."""
    from insar_mining.errors import OptionError
    from insar_mining.pipeline.inventory import make_inventory, write_inventory

    if ore not in ("auto", "rate", "model"):
        raise OptionError(f"--ore is {ore!r}: must be auto, rate or model")
    made = make_inventory(assets, reported, activity, factors or [], gwp_set=gwp, ore=ore)
    speech = speech_of(ctx)
    if out is not None:
        for path in write_inventory(made, out):
            speech.detail(f"written: {path}")
    if "world" in made.tables:
        print_table(made.tables["world"], as_json=as_json)
    tell_findings(speech, made.findings)


@app.command("explain")
def explain_command(
    folder: Annotated[Path, typer.Argument(help="Folder of an inventory.")],
    asset: Annotated[str, typer.Argument(help="asset_id, ISO 3166 code, mineral, or world.")],
    year: Annotated[int, typer.Argument()],
    as_json: parameters.Json = False,
) -> None:
    """Say what a number is made of: amounts, factors, levels, sources, alternatives."""
    from insar_mining.emissions.explain import explain
    from insar_mining.pipeline.inventory import read_inventory

    tables = read_inventory(folder)
    print_table(explain(tables["assets"], tables["alternatives"], tables["factors"], asset, year), as_json=as_json)
