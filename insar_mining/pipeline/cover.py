"""What images, masks and maps of land cover say of ground that is never coherent: natural, or bare and so worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from insar_mining.activity import read_layer
from insar_mining.activity.significant.intervals import cell_weights_m2
from insar_mining.activity.significant.settled import Evidence
from insar_mining.activity.significant.significance import Significance
from insar_mining.arrays import BoolArray
from insar_mining.geo.cells import mine_cells
from insar_mining.options.activity import ActivityOptions
from insar_mining.pipeline.flagged import flagged
from insar_mining.pipeline.masks import masks_of

# of a vegetation index: plants from here on, ground without water and plants between these
PLANTS, BARE = 0.4, (0.0, 0.2)
WATER, VEGETATION, LAND_COVER = "water by amplitude", "vegetation index", "land cover"


def evidence_of(
    coh: xr.DataArray, files: Sequence[Path], options: ActivityOptions, index: xr.DataArray | None
) -> dict[str, Evidence]:
    """Return what each source says of the cover of the cells.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    files : sequence of Path
        The maps it was read from; their band ``mask``, or that of a few of their pairs which a run mapped beside
        them, tells calm water by its dark echo.
    options : ActivityOptions
    index : DataArray (y, x), optional
        A vegetation index.

    Raises
    ------
    RasterError, CoverageError
        As of `read_layer`.
    """
    found: dict[str, Evidence] = {}
    nowhere: BoolArray = np.zeros(coh.shape[1:], np.bool_)
    masks = masks_of(files)
    if masks:
        found[WATER] = Evidence(flagged(coh, masks, ("water",)).values, nowhere)
    if index is not None:
        with np.errstate(invalid="ignore"):
            bare = (index.values >= BARE[0]) & (index.values < BARE[1])
            found[VEGETATION] = Evidence(index.values >= PLANTS, bare)
    if options.land_cover is not None:
        codes = read_layer(options.land_cover, coh, categories=True).values
        found[LAND_COVER] = Evidence(np.isin(codes, options.natural_codes), np.isin(codes, options.bare_codes))
    return found


def cover_notes(found: Significance, evidence: Mapping[str, Evidence]) -> list[str]:
    """Describe in sentences how much never coherent ground each source settles in each year."""
    weights = np.where(mine_cells(found.active), cell_weights_m2(found.active), 0.0)
    notes = []
    for name, said in evidence.items():
        for number, (year, reference) in enumerate(found.references.items()):
            natural, bare = (part[number] if part.ndim == 3 else part for part in said)
            areas = [float(weights[reference.low & part].sum()) for part in (natural, bare)]
            if any(areas):
                notes.append(
                    f"{year}: of the ground that is never coherent, {areas[0]:,.0f} m2 is natural and {areas[1]:,.0f} "
                    f"m2 bare by {name}; bare ground is then worked, and where sources contradict each other it stays "
                    "in doubt."
                )
    return notes
