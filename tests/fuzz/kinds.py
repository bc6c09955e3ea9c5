"""All kinds of inputs that are damaged."""

from __future__ import annotations

from tests.fuzz import products, rasters, records, vectors
from tests.fuzz.arena import Kind

KINDS: tuple[Kind, ...] = (
    vectors.MINES,
    vectors.OPTIONS,
    products.MANIFESTS,
    products.ANNOTATIONS,
    products.MEASUREMENTS,
    products.ORBITS,
    rasters.MODELS,
    rasters.STACKS,
    records.RESULTS,
    records.PORTFOLIOS,
    records.SCENES,
    records.ALL_TABLES,
)
