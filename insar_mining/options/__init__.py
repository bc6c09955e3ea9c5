"""Options of every step: one frozen, bounded model each."""

from __future__ import annotations

from insar_mining.options.models import RunOptions

__all__ = ["RunOptions"]
