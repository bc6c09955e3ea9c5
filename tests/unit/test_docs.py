"""The documentation site shows every public name, and every licence that it lists is permissive."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import inspect
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


# what they do takes scenes, maps or a network: their examples show the call
SHOWN_ONLY = {"search", "select_pairs", "make_plan", "CoherencePlan", "coherence", "run", "analyse", "Result"}


def test_every_public_name_has_an_example_and_prints_a_value_where_it_can() -> None:
    functions = {name: getattr(insar_mining, name) for name in insar_mining.__all__ if name != "__version__"}
    functions["coherence"] = importlib.import_module("insar_mining.coherence.engine").coherence
    examples = {
        name: doctest.DocTestParser().get_examples(inspect.getdoc(value) or "") for name, value in functions.items()
    }
    assert not [name for name, found in examples.items() if not found]
    printing = {
        name
        for name, found in examples.items()
        if any((one.want or one.exc_msg) and not one.options.get(doctest.SKIP) for one in found)
    }
    assert printing == set(functions) - SHOWN_ONLY


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
