"""``insar-mining inventory``: ore, emissions and land carbon of many mines, or the processes of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from insar_mining.cli import parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.speech import Speech, print_table, speech_of
from insar_mining.options.base import Options

if TYPE_CHECKING:
    from insar_mining.emissions.findings import Finding

app = parameters.new_app()

IN_SHORT = ("activity_t", "co2_t", "co2_low_t", "co2_high_t")  # what a terminal has room for
FAULTY = 3  # exit code where a finding is an error

Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the tables.")]


@app.callback(invoke_without_command=True)
def inventory(ctx: typer.Context) -> None:
    """Turn active area into ore, emissions, inventories and carbon.

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


class EstimateOptions(Options):
    """Hold inputs and choices of an inventory."""

    reported: Path | None = Field(None, description="CSV: asset_id, year, quantity, value, unit, source.")
    activity: Path | None = Field(None, description="CSV: asset_id (or mine_id), year, area_m2 and its interval.")
    factors: tuple[Path, ...] = Field((), description="Table of factors; repeat. The nearest level wins.")
    gwp: Literal["AR4", "AR5", "AR6"] = Field("AR6", description="Set of warming potentials.")
    ore: Literal["auto", "rate", "model"] = Field(
        "auto", description="Ore from area: mixed-effects model, t/m2, or the model where it can be fitted."
    )


class LandOptions(Options):
    """Hold choices of land carbon."""

    carbon_to_co2: Literal["as-printed", "44/12"] = Field(
        "as-printed", description="Soil density as printed (as CO2), or as carbon."
    )
    density: float | None = Field(None, ge=0, description="Soil carbon of a result's disturbed ground, kg/m2.")
    surfaces: Path | None = Field(None, description="Polygons with a name, to part a result's ground by.")
    reclaimed: Path | None = Field(
        None, description="Polygons declared reclaimed; a result's silent ground in them takes up CO2."
    )
    uptake: float = Field(144.0, ge=0, description="Of reclaimed ground, t CO2 per hm2 and year.")
    price: float = Field(0.0, ge=0, description="Of a tonne of CO2, in any currency.")


@app.command("estimate")
@with_options(EstimateOptions)
def estimate_command(
    ctx: typer.Context,
    assets: Annotated[Path, typer.Argument(help="CSV of assets: asset_id, name, iso3, mineral, ...")],
    options: EstimateOptions,
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Estimate ore and emissions of assets, countries, minerals and the world."""
    from insar_mining.pipeline.inventory import make_inventory, write_inventory

    given = options.factors
    made = make_inventory(assets, options.reported, options.activity, given, gwp_set=options.gwp, ore=options.ore)
    speech = speech_of(ctx)
    if out is not None:
        for path in write_inventory(made, out):
            speech.detail(f"written: {path}")
    if "world" in made.tables:
        world = made.tables["world"]
        shown = world if as_json else world[["year", "n_assets", "n_modelled", *IN_SHORT]]
        print_table(shown, as_json=as_json)
    tell_findings(speech, made.findings)


@app.command("explain")
def explain_command(
    folder: Annotated[Path, typer.Argument(help="Folder of an inventory.")],
    asset: Annotated[str, typer.Argument(help="asset_id, ISO 3166 code, mineral, or world.")],
    year: Annotated[int, typer.Argument()],
    as_json: parameters.Json = False,
) -> None:
    """Explain a number: amounts, factors, levels, sources, alternatives."""
    from insar_mining.emissions.explain import explain
    from insar_mining.pipeline.inventory import read_inventory

    tables = read_inventory(folder)
    print_table(explain(tables["assets"], tables["alternatives"], tables["factors"], asset, year), as_json=as_json)


@app.command("process")
def process_command(
    ctx: typer.Context,
    mine: Annotated[Path, typer.Argument(help="YAML file of one mine and year (see inventory template).")],
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Account for the processes of one pit: Scope 1, 2 and 3, shares, avoided rows, mistakes."""
    from insar_mining.emissions.findings import findings_table
    from insar_mining.emissions.mistakes import account_findings
    from insar_mining.emissions.pit import read_mine
    from insar_mining.emissions.process import account, intensities, summary, total
    from insar_mining.emissions.tabular import write_table

    pit = read_mine(mine)
    rows = account(pit)
    findings = account_findings(pit, rows, mine.name)
    speech = speech_of(ctx)
    if out is not None:
        write_table(out / "processes.csv", rows)
        write_table(out / "findings.csv", findings_table(findings))
    print_table(rows if as_json else summary(rows), as_json=as_json)
    speech.say(
        f"Scope 1 and 2: {total(rows, avoided=False):,.2f} t CO2e without avoided rows, "
        f"{total(rows, avoided=True):,.2f} t with them; Scope 3: {total(rows, avoided=False, scopes=(3,)):,.2f} t"
    )
    for name, value in intensities(pit, rows).items():
        speech.say(f"{name}: {value:.6g}")
    tell_findings(speech, findings)


@app.command("land")
@with_options(LandOptions)
def land_command(
    ctx: typer.Context,
    zones: Annotated[
        Path,
        typer.Argument(help="CSV: zone, area_hm2, soil_density_kg_m2, vegetation_t_co2_hm2; or a result's folder."),
    ],
    years: Annotated[float, typer.Option("--years", help="Years of service that the loss is spread over.", min=0)],
    options: LandOptions,
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Estimate land carbon: the loss of disturbed ground in both readings, and what reclaimed ground takes up."""
    from insar_mining.emissions.land import land_carbon, read_zones, reclamation
    from insar_mining.emissions.tabular import write_table
    from insar_mining.errors import OptionError
    from insar_mining.pipeline.land import disturbed_zones, reclaimed_m2

    speech = speech_of(ctx)
    if zones.is_dir():
        if options.density is None:
            raise OptionError("--density is missing: give the soil carbon of the ground (kg/m2)")
        frame = disturbed_zones(zones, options.density, options.surfaces)
    else:
        table = read_zones(zones)
        tell_findings(speech, table.findings)
        frame = table.frame
    result = land_carbon(frame, years, options.carbon_to_co2)
    if out is not None:
        write_table(out / "land.csv", result)
    print_table(result, as_json=as_json)
    whole = result.iloc[-1]
    other = "44/12" if options.carbon_to_co2 == "as-printed" else "as-printed"
    speech.say(f"{options.carbon_to_co2}: {whole.co2_t_a:,.2f} t/a; {other}: {whole.other_co2_t_a:,.2f} t/a")
    if options.reclaimed is not None:
        area = reclaimed_m2(zones, options.reclaimed)
        gain = reclamation(area, rate_t_hm2=options.uptake, price=options.price)
        speech.say(f"reclaimed: {area:,.0f} m2, {gain['co2_t_a']:,.2f} t CO2 a year, value {gain['value']:,.2f}")


@app.command("scenario")
def scenario_command(
    ctx: typer.Context,
    mine: Annotated[Path, typer.Argument(help="YAML file of one mine and year.")],
    measures: Annotated[Path, typer.Argument(help="YAML file of measures and targets.")],
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Change a mine's account by measures: a pathway with wedges, and targets on track or not."""
    from insar_mining.emissions.pit import read_mine
    from insar_mining.emissions.scenario import pathway, progress, read_scenario
    from insar_mining.emissions.tabular import write_table
    from insar_mining.report.inventory import write_pathway_report

    pit, scenario = read_mine(mine), read_scenario(measures)
    table = pathway(pit, scenario)
    targets = progress(scenario.targets, {pit.name: float(table["emissions_t"].iloc[-1])})
    if out is not None:
        write_table(out / "pathway.csv", table)
        write_table(out / "targets.csv", targets)
        write_pathway_report(out / "report.html", pit, table, targets)
    print_table(table, as_json=as_json)
    for row in targets.to_dict("records"):
        state = "on track" if row["on_track"] else "not on track"
        speech_of(ctx).say(f"{row['name']}: {100 * row['so_far']:+.1f} %, needed {100 * row['needed']:+.1f} %: {state}")


@app.command("country")
def country_command(
    ctx: typer.Context,
    assets: Annotated[Path, typer.Argument(help="assets.csv of an inventory.")],
    national: Annotated[
        Path, typer.Option("--national", help="CSV: iso3, year, activity_t; if known co2_t, factor_t_t, n_assets.")
    ],
    project: Annotated[int | None, typer.Option("--project", help="Carry national series on to this year.")] = None,
    out: Out = None,
    as_json: parameters.Json = False,
) -> None:
    """Put sums of assets beside national figures, with both coverages; the two are never added."""
    from insar_mining.emissions.tabular import write_table
    from insar_mining.pipeline.inventory import compare_countries

    table, findings = compare_countries(assets, national, project)
    if out is not None:
        write_table(out / "countries.csv", table)
    print_table(table, as_json=as_json)
    tell_findings(speech_of(ctx), findings)


@app.command("export")
def export_command(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of an inventory.")],
    schema: Annotated[str, typer.Option("--schema", help="v5 (long) or 2024 (wide).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")],
    as_json: parameters.Json = False,
) -> None:
    """Write an inventory as files of Climate TRACE, with confidence and a companion of uncertainties."""
    from insar_mining.cli.speech import print_json, print_text
    from insar_mining.pipeline.inventory import export_inventory

    paths = export_inventory(folder, schema, out)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        print_text("\n".join(map(str, paths)))


@app.command("validate")
def validate_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A table of this project or of Climate TRACE, or a mine's YAML file.")],
    as_json: parameters.Json = False,
) -> None:
    """Check a file: columns, units, countries, duplicates, gaps, 5 % rules. Exit code 3 if there is an error."""
    from insar_mining.emissions.findings import findings_table
    from insar_mining.emissions.mistakes import account_findings
    from insar_mining.emissions.pit import read_mine
    from insar_mining.emissions.process import account
    from insar_mining.emissions.validate import validate_file

    if file.suffix.lower() in (".yaml", ".yml"):
        pit = read_mine(file)
        findings = account_findings(pit, account(pit), file.name)
    else:
        findings = validate_file(file)
    print_table(findings_table(findings), as_json=as_json)
    tell_findings(speech_of(ctx), findings, limit=0)


@app.command("template")
def template_command() -> None:
    """Print a commented YAML file of one mine, for inventory process."""
    from insar_mining.emissions.pit import template

    typer.echo(template(), nl=False)


@app.command("history")
def history_command(
    ctx: typer.Context,
    database: Annotated[Path, typer.Argument(help="CSV to which rows are added, never changed.")],
    mine: Annotated[str | None, typer.Argument(help="asset_id; by default all.")] = None,
    add: Annotated[Path | None, typer.Option("--add", help="Folder of an inventory to record.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why values differ from those recorded.")] = "",
    newest: Annotated[bool, typer.Option("--newest", help="Only the newest revision of each value.")] = False,
    as_json: parameters.Json = False,
) -> None:
    """Record inventories over the years, restatements as revisions, and show them."""
    from insar_mining.emissions.history import history
    from insar_mining.pipeline.inventory import record_inventory

    if add is not None:
        new = record_inventory(database, add, reason)
        speech_of(ctx).say(f"recorded: {len(new)} new values")
    print_table(history(database, mine, revisions=not newest), as_json=as_json)
