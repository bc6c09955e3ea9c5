"""``insar-mining graph``: SNAP graphs shown, filled in, run, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.generated import snap_values
from insar_mining.cli.speech import print_json, print_record, speech_of
from insar_mining.errors import OptionError, SnapGraphError
from insar_mining.options.models import SnapOptions

app = parameters.new_app()

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder of templates (default INSAR_MINING_SNAP_GRAPHS, else the package's own)."),
]


@app.callback(invoke_without_command=True)
def graph(ctx: typer.Context) -> None:
    """Show, fill in, run and check the graphs that run in ESA SNAP.

    `show` and `check` print JSON with --json.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="Template to show; without one, their names.")] = None,
    folder: Folder = None,
    as_json: parameters.Json = False,
) -> None:
    """Show a template, or list them with the values that each needs."""
    from insar_mining.coherence.snap.graphs import placeholders_of, read_template, template_names

    if name is not None:
        text = read_template(name, folder)
        if as_json:
            print_json({"name": name, "needs": placeholders_of(text), "text": text})
        else:
            typer.echo(text, nl=False)
        return
    needs = {template: placeholders_of(read_template(template, folder)) for template in template_names(folder)}
    if as_json:
        print_json(needs)
        return
    for template, wanted in needs.items():
        typer.echo(f"{template}: {', '.join(wanted)}")


@app.command()
def render(
    name: Annotated[str, typer.Argument(help="Template to fill in.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="A value for a placeholder; repeat.", metavar="NAME=VALUE")
    ] = None,
    snap: Annotated[int, typer.Option("--snap", help="Version of SNAP that is to run it (13 or 14).")] = 13,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write instead of printing.")] = None,
    folder: Folder = None,
) -> None:
    """Fill in a template completely, check it, and print it or write it."""
    from insar_mining.coherence.snap.graphs import read_template
    from insar_mining.coherence.snap.graphs import render as fill_in
    from insar_mining.files import write_text

    text = fill_in(read_template(name, folder), _pairs(values or []), snap, name=name)
    if out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(str(write_text(out, text)))


@app.command()
def run(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Template to run, such as slice-assembly, goldstein or whole-chain.")],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="A value for a placeholder; repeat. target ends in .dim.", metavar="NAME=VALUE"),
    ] = None,
    orbit: Annotated[
        list[Path] | None,
        typer.Option("--orbit", help="Orbit file (EOF) of a date, for Apply-Orbit-File; repeat.", metavar="FILE"),
    ] = None,
    folder: Folder = None,
    snap: parameters.Snap = None,
    as_json: parameters.Json = False,
) -> None:
    """Fill in a template and run it in the installed SNAP, watched as the engine's own are.

    SNAP gets the orbit files, EGM96 and a user folder of its own; what it leaves is checked: whole, not empty, and
    made with these orbits.
    """
    from insar_mining.coherence.snap.engine import run_graph

    wanted, options = _pairs(values or []), SnapOptions(**snap_values(snap))
    with speech_of(ctx).progress() as show:
        product = run_graph(
            name,
            wanted,
            orbits=orbit or [],
            folder=folder,
            options=options,
            progress=lambda share: show(name, round(100 * share), 100),
        )
    bands = [band.name for band in product.bands]
    print_record(
        {"path": str(product.path), "width": product.width, "height": product.height, "bands": bands}, as_json=as_json
    )


@app.command()
def check(
    graphs: Annotated[
        list[Path] | None, typer.Argument(help="Graph files to check; without any, all templates of the folder.")
    ] = None,
    snap: Annotated[int | None, typer.Option("--snap", help="Version of SNAP (13 or 14); by default both.")] = None,
    folder: Folder = None,
    as_json: parameters.Json = False,
) -> None:
    """Check graphs against the operators of SNAP: names, values, sources, one sink.

    Placeholders are allowed.  The exit code is 1 if there is a fault.
    """
    from insar_mining.coherence.snap.check import check_graph
    from insar_mining.coherence.snap.graphs import templates_folder
    from insar_mining.coherence.snap.settings import VERSIONS

    paths = graphs or sorted((folder or templates_folder()).glob("*.xml"))
    if not paths:
        raise OptionError(f"there is no graph in {folder or templates_folder()}. Name a folder that holds *.xml.")
    found = []
    for path in paths:
        if not path.is_file():
            raise OptionError(f"there is no graph {path}. Give the path of an XML file.")
        for version in VERSIONS if snap is None else (snap,):
            found += [
                {"graph": str(path), "snap": version, "node": f.node, "line": f.line, "fault": f.message}
                for f in check_graph(path.read_bytes(), version, placeholders=True)
            ]
    if as_json:
        print_json(found)
    else:
        for fault in found:
            node = f"{fault['node']}: " if fault["node"] else ""
            typer.echo(f"{fault['graph']}:{fault['line']}: SNAP {fault['snap']}: {node}{fault['fault']}")
    if found:
        raise SnapGraphError(f"{len(found)} faults in {len(paths)} graphs; each is listed with its line above")
    if not as_json:
        typer.echo(f"{len(paths)} graphs are valid")


def _pairs(texts: list[str]) -> dict[str, object]:
    """Read ``name=value`` pairs."""
    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionError(f"--set {text!r}: write NAME=VALUE, such as swath=IW1")
        values[name] = value
    return values
