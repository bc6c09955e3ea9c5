"""Scenes over a mine: catalogue search, tables of records, tracks and pairs.

Names load on first use; `search` stays the module that asks the archive (the function is `insar_mining.search`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_mining.scenes.pairs import rejected_candidates as rejected_candidates
    from insar_mining.scenes.pairs import select_pairs as select_pairs
    from insar_mining.scenes.products import scan_products as scan_products
    from insar_mining.scenes.records import read_records as read_records
    from insar_mining.scenes.records import write_pairs as write_pairs
    from insar_mining.scenes.records import write_records as write_records
    from insar_mining.scenes.tracks import choose_track as choose_track
    from insar_mining.scenes.tracks import gaps as gaps
    from insar_mining.scenes.tracks import suggest_spacing as suggest_spacing

_HOME_OF = {
    "choose_track": "tracks",
    "gaps": "tracks",
    "read_records": "records",
    "rejected_candidates": "pairs",
    "scan_products": "products",
    "select_pairs": "pairs",
    "suggest_spacing": "tracks",
    "write_pairs": "records",
    "write_records": "records",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name when it is used for the first time (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
