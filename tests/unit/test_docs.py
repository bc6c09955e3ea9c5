"""The documentation site shows every public name, and every licence that it lists is permissive."""

from __future__ import annotations

import ast
import importlib.util
import re
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


def test_nothing_is_installed_that_binds_its_users() -> None:
    spec = importlib.util.spec_from_file_location("licences", HOOKS.with_name("licences.py"))
    assert spec is not None
    assert spec.loader is not None
    licences = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(licences)
    found = {name: licences.licence_of(dist) for name, dist in licences.installed_closure().items()}
    assert {"numpy", "rasterio", "typer"} <= set(found)
    permissive = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software|Mozilla|0BSD|Unlicense|HPND", re.IGNORECASE)
    assert not {
        name: text for name, text in found.items() if not permissive.search(text) or re.search(r"\bA?GPL", text)
    }
