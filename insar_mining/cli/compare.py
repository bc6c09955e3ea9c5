"""``insar-mining compare``: two maps of coherence beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_json, print_record, speech_of
from insar_mining.errors import RasterError

if TYPE_CHECKING:
    from insar_mining.coherence.compare import MapComparison, SlopeZone

app = parameters.new_app()


@app.command()
def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(help="Coherence map, such as the built-in engine's.")],
    second: Annotated[Path, typer.Argument(help="Coherence map on the same grid, such as SNAP's.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="GeoTIFF of the difference to write.")] = None,
    dem: Annotated[
        Path | None, typer.Option("--dem", help="Elevation model: compare zone by zone of the ground's slope as well.")
    ] = None,
    as_json: parameters.Json = False,
) -> None:
    """Compare two maps of coherence: difference map, statistics, tolerances, zones of slope.

    The exit code is 1 if they differ by more than one plan on two engines may: median of
    |difference| 0.01, 95th percentile 0.05, mean 0.005, correlation 0.99, masks 0.99. Cells that
    are exactly 0 are no data of SNAP's: they are counted and left out. Zones of slope get verdicts of
    their own, which do not change the exit code.
    """
    from insar_mining.coherence.compare import compare_by_slope, compare_maps

    found = compare_maps(first, second, out)
    zones = [] if dem is None else compare_by_slope(first, second, dem)
    failures = found.failures()
    record: dict[str, object] = {**_rounded(found), "within_tolerance": not failures}
    if as_json:
        print_json({**record, **({} if dem is None else {"zones": [_zone(zone) for zone in zones]})})
    else:
        print_record(record, as_json=False)
        for zone in zones:
            typer.echo(_line(zone))
    if out is not None:
        speech_of(ctx).say(f"difference (second - first): {out}")
    if failures:
        raise RasterError(f"the maps differ by more than the tolerances: {'; '.join(failures)}")


def _rounded(found: MapComparison) -> dict[str, object]:
    return {name: round(value, 6) for name, value in found.as_dict().items()}


def _zone(zone: SlopeZone) -> dict[str, object]:
    return {
        "slope_from_deg": zone.slope_from_deg,
        "slope_to_deg": zone.slope_to_deg,
        **_rounded(zone.comparison),
        "within_tolerance": not zone.comparison.failures(),
    }


def _line(zone: SlopeZone) -> str:
    found = zone.comparison
    verdict = "; ".join(found.failures()) or "within tolerance"
    return (
        f"slope {zone.slope_from_deg:g} to {zone.slope_to_deg:g} degrees: {found.cells} cells, median "
        f"{found.median_absolute:.4f}, 95th percentile {found.percentile_95_absolute:.4f}, mean {found.mean:.4f}, "
        f"correlation {found.correlation:.4f}: {verdict}"
    )
