"""docs/architecture.md names what is there: files, functions, and every folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "insar_mining"
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PATHS = sorted(set(re.findall(r"`((?:tests/|docs/)?[\w/]+(?:\.py|\.md|\.json|/))`", TEXT)))
PLACES = re.findall(r"\| `([\w/]+\.py)` \| `(\w+)` \|", TEXT)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_there(path: str) -> None:
    assert (PACKAGE / path).exists() or (ROOT / path).exists()


def test_every_folder_is_on_the_map() -> None:
    folders = {p.parent.relative_to(PACKAGE).parts[0] for p in PACKAGE.glob("*/__init__.py")}
    assert not {name for name in folders if f"`{name}/" not in TEXT}


def test_six_places_are_named() -> None:
    assert len(PLACES) == 6


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_the_named_function_is_defined_in_its_file(file: str, name: str) -> None:
    tree = ast.parse((PACKAGE / file).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
