"""How much of a mine was worked in each year, from repeat-pass Sentinel-1 coherence.

Every step is a plain function at this level; names load on first use, so that importing
the package, and asking the command line for help, costs nothing.

Examples
--------
>>> import insar_mining
>>> insar_mining.__version__
'0.1.0'
>>> insar_mining.ndai.__module__
'insar_mining.activity.published.ndai'
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_mining.activity.cube.stack import open_stack as open_stack
    from insar_mining.activity.published.area import activity_table as activity_table
    from insar_mining.activity.published.composite import classify as classify
    from insar_mining.activity.published.composite import rgb_composite as rgb_composite
    from insar_mining.activity.published.ndai import annual_ndai as annual_ndai
    from insar_mining.activity.published.ndai import ndai as ndai
    from insar_mining.activity.published.scenes import filter_scenes as filter_scenes
    from insar_mining.activity.published.stable import iterate_stable as iterate_stable
    from insar_mining.activity.published.stable import stable_points as stable_points
    from insar_mining.coherence.builtin.extras.bias import corrected_mean as corrected_mean
    from insar_mining.coherence.engine import coherence as coherence
    from insar_mining.coherence.plan.model import CoherencePlan as CoherencePlan
    from insar_mining.coherence.plan.model import Window as Window
    from insar_mining.coherence.plan.model import make_plan as make_plan
    from insar_mining.errors import InsarMiningError as InsarMiningError
    from insar_mining.errors import InsarMiningWarning as InsarMiningWarning
    from insar_mining.errors import strict as strict
    from insar_mining.geo.mines import Mine as Mine
    from insar_mining.geo.mines import mine_from_geometry as mine_from_geometry
    from insar_mining.geo.mines import read_mines as read_mines
    from insar_mining.options.models import RunOptions as RunOptions
    from insar_mining.pipeline import Result as Result
    from insar_mining.pipeline import analyse as analyse
    from insar_mining.pipeline import run as run
    from insar_mining.scenes.pairs import select_pairs as select_pairs
    from insar_mining.scenes.products import scan_products as scan_products
    from insar_mining.scenes.search import search as search

__version__ = "0.1.0"

_HOMES = {
    "activity.published.area": ("activity_table",),
    "activity.published.composite": ("classify", "rgb_composite"),
    "activity.published.ndai": ("annual_ndai", "ndai"),
    "activity.published.scenes": ("filter_scenes",),
    "activity.published.stable": ("iterate_stable", "stable_points"),
    "activity.cube.stack": ("open_stack",),
    "scenes.pairs": ("select_pairs",),
    "scenes.products": ("scan_products",),
    "scenes.search": ("search",),
    "coherence.builtin.extras.bias": ("corrected_mean",),
    "coherence.plan.model": ("CoherencePlan", "Window", "make_plan"),
    "errors": ("InsarMiningError", "InsarMiningWarning", "strict"),
    "geo.mines": ("Mine", "mine_from_geometry", "read_mines"),
    "options.models": ("RunOptions",),
    "pipeline": ("Result", "analyse", "run"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# a folder of the same name as its main function: the folder itself can be called, see its __init__
_CALLABLE_FOLDERS = ("coherence",)

__all__ = sorted([*_HOME_OF, *_CALLABLE_FOLDERS, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name when it is used for the first time (PEP 562)."""
    if name in _CALLABLE_FOLDERS:
        return importlib.import_module(f"insar_mining.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'insar_mining' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"insar_mining.{_HOME_OF[name]}"), name)
    globals()[name] = value
    _register_accessor()
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _register_accessor() -> None:
    """Give arrays the accessor ``insar`` once xarray is loaded; loading it here would make every import slow."""
    if "xarray" in sys.modules:
        importlib.import_module("insar_mining.accessor")


_register_accessor()
