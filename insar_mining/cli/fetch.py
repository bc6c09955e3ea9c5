"""``insar-mining fetch``: products from ASF's archive, with their orbits and the elevation model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import pydantic
import typer
from pydantic import Field

from insar_mining.cli import inputs, parameters
from insar_mining.cli.generated import with_options
from insar_mining.cli.inputs import MineOptions
from insar_mining.cli.speech import Speech, print_record, speech_of
from insar_mining.errors import ArchiveError, ProductError
from insar_mining.options.models import RunOptions

if TYPE_CHECKING:
    import geopandas as gpd

    from insar_mining.download.products import FetchPlan
    from insar_mining.download.transfer import Limits
    from insar_mining.pipeline.acquisition import Network

app = parameters.new_app()


class Also(MineOptions):
    """Describe what is fetched beside the products."""

    orbits: bool = Field(False, description="Also fetch the orbit file of every product, into DIR/orbits.")
    dem: Literal["glo30", "srtm1"] | None = Field(
        None, description="Also fetch the elevation model around --mine, into DIR/dem."
    )
    safe: bool = Field(False, description="Also make SAFE products of bursts, into DIR/safe (SNAP reads no others).")

    @pydantic.model_validator(mode="after")
    def _around_a_mine(self) -> Self:
        if self.dem is not None and self.mine is None:
            raise ValueError("--dem fetches the elevation model around a mine: name it with --mine")
        return self


@app.command()
@with_options(RunOptions, ["archive.connections", "archive.bandwidth_mb_s", "archive.line_mb_s"])
@with_options(Also, into="also")
def fetch(
    ctx: typer.Context,
    pairs: Annotated[
        Path, typer.Argument(help="Pairs (`pairs -o`) made of a table of scenes, or the table of scenes (`search -o`).")
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder for the products.", metavar="DIR")],
    options: RunOptions,
    also: Also,
    dry_run: parameters.DryRun = False,
    as_json: parameters.Json = False,
) -> None:
    """Fetch products; what is there and whole is kept, what was begun is continued."""
    from insar_mining.download.files import check_space
    from insar_mining.download.products import plan_fetch

    archive = options.archive
    speech = speech_of(ctx)
    records, names = read_wanted(pairs)
    plan = plan_fetch(records, only=names)
    rate = min(archive.line_mb_s, archive.bandwidth_mb_s or archive.line_mb_s) * 1e6
    estimate = plan.estimate(to, rate)
    for scene, reason in plan.unobtainable:
        speech.warn(f"{scene}: {reason}")
    if dry_run:
        print_record(estimate, as_json=as_json)
        return
    check_space(plan.items, to)
    speech.say(f"{estimate['gigabytes_missing']} GB to fetch, about {estimate['hours']} hours at {rate / 1e6:g} MB/s")
    network = inputs.open_network()
    limits = network.limits_of(archive)
    said, failed, paths = _products(plan, to, network, limits, speech)
    lacking: list[str] = []
    mine = also.read()
    if mine is not None and also.dem is not None:
        from insar_mining.pipeline.acquisition import elevation

        wanted = options.replace(archive=options.archive.replace(dem_source=also.dem, folder=to))
        said["dem"] = str(elevation(mine, wanted, to, network))
    if also.orbits:
        said["orbits"], without = _orbits(paths, to, network, limits, speech)
        lacking += without
    if also.safe:
        said["safe_products"], unmade = _safe_products(paths, to, speech)
        lacking += unmade
    print_record(said, as_json=as_json)
    for problem in (*failed, *lacking):
        speech.warn(problem)
    if failed:
        raise ArchiveError(
            f"{len(failed)} of {len(plan.items)} files could not be fetched. Run the same command again."
        )
    if lacking:
        raise ArchiveError(
            f"{len(lacking)} products have no orbit file or could not be made a SAFE product (see above)"
        )


def _products(
    plan: FetchPlan, to: Path, network: Network, limits: Limits, speech: Speech
) -> tuple[dict[str, object], list[str], list[Path]]:
    """Fetch products; return what to say, what failed, and the products that are whole."""
    from insar_mining.download.products import fetch_products

    with speech.progress() as progress:
        outcomes = fetch_products(plan, to, network.login(limits.connections), limits=limits, progress=progress)
    said: dict[str, object] = {s: sum(o.state == s for o in outcomes) for s in ("there", "fetched", "failed")}
    said |= {"fetched_bytes": sum(outcome.fetched_bytes for outcome in outcomes), "folder": str(to)}
    bad = {o.item.name.partition("/")[0] for o in outcomes if o.path is None}
    failed = [f"{o.item.name}: {o.reason}" for o in outcomes if o.path is None]
    return said, failed, [to / name for name in plan.products if name not in bad]


def _orbits(
    paths: list[Path], to: Path, network: Network, limits: Limits, speech: Speech
) -> tuple[dict[str, int], list[str]]:
    """Fetch orbit files; return how many of each kind, and the products without one."""
    from insar_mining.download.orbits import KINDS, find_orbits
    from insar_mining.pipeline.acquisition import ORBITS

    with speech.progress() as progress:
        found, missing = find_orbits(
            paths,
            to / ORBITS,
            session=network.public(),
            sources=network.orbit_sources,
            limits=limits,
            progress=progress,
        )
    counts: dict[str, int] = {kind: sum(orbit.kind == kind for orbit in found.values()) for kind in KINDS}
    return counts, [f"orbit of {path.name}: {reason}" for path, reason in missing.items()]


def _safe_products(paths: list[Path], to: Path, speech: Speech) -> tuple[int, list[str]]:
    """Assemble the folders of bursts among products; return how many, and those that cannot be."""
    from insar_mining.download.safe import assembled
    from insar_mining.pipeline.acquisition import SAFE

    folders, failed = [path for path in paths if path.is_dir()], []
    with speech.progress() as progress:
        for done, path in enumerate(folders, start=1):
            try:
                assembled(path, to / SAFE)
            except ProductError as error:
                failed.append(f"SAFE product of {path.name}: {error}")
            progress("assembling", done, len(folders))
    return len(folders) - len(failed), failed


def read_wanted(path: Path) -> tuple[gpd.GeoDataFrame, set[str] | None]:
    """Read a table of scenes, or pairs with the scenes that they were made of.

    Raises
    ------
    ArchiveError
        The file is neither.
    """
    from insar_mining.scenes.records import pairs_in, read_records

    names = pairs_in(path)
    return read_records(path), names
