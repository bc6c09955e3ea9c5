"""Summaries are sentences that begin with what a thing does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import insar_mining

PACKAGE = Path(insar_mining.__file__).parent
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists() and path.name != "options")
NO_VERBS = {"A", "An", "The", "One", "Whether", "Where", "Which", "What", "How", "Who", "From", "Some"}
# files, maps and functions record, show and return; they do not speak
SPEAKING = {"Say", "Says", "Tell", "Tells", "Speak"}


def summaries(folder: str) -> Iterator[tuple[str, str]]:
    """Yield place and first line of every function and class; properties and errors name a value or a fault."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            decorators = {ast.unparse(one) for one in node.decorator_list}
            bases = {ast.unparse(one) for one in getattr(node, "bases", ())}
            text = ast.get_docstring(node)
            named = any("property" in one for one in decorators) or any(
                one.endswith(("Error", "Exception", "Warning")) for one in bases
            )
            if text and not named:
                yield f"{path.relative_to(PACKAGE)}:{node.name}", text.splitlines()[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_summaries_begin_with_a_verb(folder: str) -> None:
    found = dict(summaries(folder))
    assert len(found) > 10
    assert not {place: line for place, line in found.items() if line.split()[0] in NO_VERBS | SPEAKING}
