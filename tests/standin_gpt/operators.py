"""SNAP's operators by name, each done slowly: it takes products and parameters and returns a product."""

from __future__ import annotations

from common import Context, Failure
from coregister import back_geocoding, enhanced_spectral_diversity
from interfere import deburst, goldstein, interferogram, merge, remove_topographic_phase
from maps import subset, terrain_correction
from scenes import apply_orbit, read_product, slice_assembly, split

__all__ = ["OPERATORS", "Context", "Failure"]

OPERATORS = {
    "Read": read_product, "SliceAssembly": slice_assembly, "TOPSAR-Split": split, "Apply-Orbit-File": apply_orbit,
    "Back-Geocoding": back_geocoding, "Enhanced-Spectral-Diversity": enhanced_spectral_diversity,
    "Interferogram": interferogram, "TOPSAR-Deburst": deburst, "TOPSAR-Merge": merge,
    "TopoPhaseRemoval": remove_topographic_phase, "GoldsteinPhaseFiltering": goldstein, "Subset": subset,
    "Terrain-Correction": terrain_correction,
}  # fmt: skip
