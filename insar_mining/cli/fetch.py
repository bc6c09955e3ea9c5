"""``insar-mining fetch``: products from ASF's archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_record, speech_of
from insar_mining.errors import ArchiveError

if TYPE_CHECKING:
    import geopandas as gpd
    import requests

app = parameters.new_app()


@app.command()
def fetch(
    ctx: typer.Context,
    pairs: Annotated[
        Path, typer.Argument(help="Pairs (`pairs -o`) made of a table of scenes, or the table of scenes (`search -o`).")
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder for the products.", metavar="DIR")],
    connections: Annotated[int, typer.Option("--connections", help="At the same time (1 to 16).")] = 4,
    bandwidth: Annotated[
        float | None, typer.Option("--bandwidth", help="Most megabytes per second.", metavar="MB")
    ] = None,
    line: Annotated[
        float, typer.Option("--line", help="Megabytes per second to estimate hours with.", metavar="MB")
    ] = 10.0,
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
) -> None:
    """Fetch products; what is there and whole is kept, what was begun is continued."""
    from insar_mining.archive.download import check_space
    from insar_mining.archive.fetch import fetch_products, plan_fetch
    from insar_mining.archive.transfer import Limits

    speech = speech_of(ctx)
    records, names = read_wanted(pairs)
    plan = plan_fetch(records, only=names)
    rate = min(line, bandwidth or line) * 1e6
    estimate = plan.estimate(to, rate)
    for scene, reason in plan.unobtainable:
        speech.warn(f"{scene}: {reason}")
    if dry_run:
        print_record(estimate, as_json=as_json)
        return
    check_space(plan.items, to)
    speech.say(f"{estimate['gigabytes_missing']} GB to fetch, about {estimate['hours']} hours at {rate / 1e6:g} MB/s")
    limits = Limits(connections=connections, bytes_per_s=None if bandwidth is None else bandwidth * 1e6)
    with speech.progress() as progress:
        outcomes = fetch_products(plan, to, open_session(connections), limits=limits, progress=progress)
    failed = [outcome for outcome in outcomes if outcome.path is None]
    states = {s: sum(o.state == s for o in outcomes) for s in ("there", "fetched", "failed")}
    fetched_bytes = sum(outcome.fetched_bytes for outcome in outcomes)
    print_record({**states, "fetched_bytes": fetched_bytes, "folder": str(to)}, as_json=as_json)
    for outcome in failed:
        speech.warn(f"{outcome.item.name}: {outcome.reason}")
    if failed:
        raise ArchiveError(f"{len(failed)} of {len(outcomes)} files could not be fetched; run the same command again")


def read_wanted(path: Path) -> tuple[gpd.GeoDataFrame, set[str] | None]:
    """Read a table of scenes, or pairs with the scenes that they were made of.

    Raises
    ------
    ArchiveError
        The file is neither.
    """
    from insar_mining.archive.records import pairs_in, read_records

    names = pairs_in(path)
    return read_records(path), names


def open_session(connections: int) -> requests.Session:
    """Open a session with the account that is found (asked for only in a terminal).

    Raises
    ------
    ArchiveError
        No account is found.
    """
    from insar_mining.archive.credentials import REMEDY, find_credentials
    from insar_mining.archive.http import EarthdataSession

    credentials = find_credentials(prompt=sys.stdin.isatty())
    if credentials is None:
        raise ArchiveError(f"fetching from ASF needs an Earthdata account: {REMEDY}")
    return EarthdataSession(credentials, connections=connections)
