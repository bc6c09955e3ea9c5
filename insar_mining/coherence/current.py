"""Tell whether a finished map is that of a plan, so that it need not be made again."""

from __future__ import annotations

import re
import warnings

from rasterio.errors import RasterioError

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.plan.product import SHA256_MULTIHASH
from insar_mining.doors import GEOTIFF, open_raster, parse_json
from insar_mining.errors import DamagedMapWarning
from insar_mining.files import sha256
from insar_mining.options.models import SnapOptions


def is_current(plan: CoherencePlan, engine: str, snap: SnapOptions | None = None) -> bool:
    """Check whether the plan's output exists, is complete, and was made by this very plan and engine."""
    item = plan.out.with_suffix(".json")
    if not (plan.out.is_file() and item.is_file()):
        return False
    try:  # the tags stand at the file's beginning: half of it has them too
        asset = parse_json(item.read_bytes())["assets"]["coherence"]
        whole = asset["file:size"] == plan.out.stat().st_size
        recorded = str(asset["file:checksum"]).removeprefix(SHA256_MULTIHASH)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not whole:
        return False
    try:
        with open_raster(plan.out, GEOTIFF) as source:
            found = source.tags()
    except RasterioError:
        return False
    same = found.get("PLAN_SHA256") == plan.sha256 and found.get("ENGINE") == engine
    # what is in parentheses became of what was asked for
    asked = re.sub(r" \(.*\)$", "", found.get("ENGINE_VERSION", "").partition(" with ")[2])
    if not (same and asked == _variant(engine, snap)):
        return False
    if sha256(plan.out) != recorded:
        warnings.warn(
            f"{plan.out}: was changed or damaged since it was made (its checksum is another); it is made again",
            DamagedMapWarning,
            stacklevel=2,
        )
        return False
    return True


def _variant(engine: str, snap: SnapOptions | None) -> str:
    """Return what an engine that runs another program is asked to do besides the plan."""
    if engine not in ("snap", "snappy"):
        return ""
    from insar_mining.coherence.snap.settings import variant

    return variant(snap)
