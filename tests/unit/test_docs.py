"""The documentation site shows every public name."""

from __future__ import annotations

import ast
from pathlib import Path

import insar_mining

HOOKS = Path(__file__).parents[2] / "docs" / "_site" / "hooks.py"


def shown_names() -> set[str]:
    """Read the names of the Python page from the site's hooks, without importing mkdocs."""
    tree = ast.parse(HOOKS.read_text("utf-8"))
    (groups,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "GROUPS")
    return {n.value for n in ast.walk(groups) if isinstance(n, ast.Constant) and n.value in insar_mining.__all__}


def test_every_public_name_is_on_the_python_page() -> None:
    assert shown_names() == set(insar_mining.__all__) - {"__version__"}
