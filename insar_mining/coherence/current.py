"""Tell whether a finished map is that of a plan, so that it need not be made again."""

from __future__ import annotations

import json
import re

import rasterio

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.options.models import SnapOptions


def is_current(plan: CoherencePlan, engine: str, snap: SnapOptions | None = None) -> bool:
    """Tell whether the plan's output exists, is complete, and was made by this very plan and engine."""
    item = plan.out.with_suffix(".json")
    if not (plan.out.is_file() and item.is_file()):
        return False
    try:  # the tags stand at the file's beginning: half of it has them too
        whole = json.loads(item.read_bytes())["assets"]["coherence"]["file:size"] == plan.out.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not whole:
        return False
    try:
        with rasterio.open(plan.out) as source:
            found = source.tags()
    except rasterio.errors.RasterioError:
        return False
    same = found.get("PLAN_SHA256") == plan.sha256 and found.get("ENGINE") == engine
    # what is in parentheses became of what was asked for
    asked = re.sub(r" \(.*\)$", "", found.get("ENGINE_VERSION", "").partition(" with ")[2])
    return bool(same and asked == _variant(engine, snap))


def _variant(engine: str, snap: SnapOptions | None) -> str:
    """Return what an engine that runs another program is asked to do besides the plan."""
    if engine not in ("snap", "snappy"):
        return ""
    from insar_mining.coherence.snap.settings import variant

    return variant(snap)
