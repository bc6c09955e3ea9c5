"""Check that the tasks of a newcomer are found by the site's own search index."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lunr import lunr

ROW = re.compile(r"^\| (?P<task>[^|]+) \| (?P<words>[^|]+) \| \[[^]]+\]\((?P<page>[^)]+)\.md\) \|$", re.MULTILINE)
FIRST = 5


def tasks_of(page: str) -> list[tuple[str, str, str]]:
    """Return task, words to search for and page (as the site names it) of every row."""
    return [(row["task"], row["words"], f"{row['page']}.html") for row in ROW.finditer(page)]


def pages_found(index: Path) -> dict[str, list[str]]:
    """Return the pages that the search shows first for the words of each task; an index as the site holds it."""
    records = json.loads(index.read_text("utf-8"))
    boosts = {name: field["boost"] for name, field in records["config"]["fields"].items() if name != "tags"}
    fields = [{"field_name": name, "boost": boost} for name, boost in boosts.items()]
    search = lunr(ref="location", fields=fields, documents=records["docs"])
    found = {}
    for _, words, _ in tasks_of((Path(__file__).parents[1] / "tasks.md").read_text("utf-8")):
        pages = [hit["ref"].partition("#")[0] for hit in search.search(words)]
        found[words] = list(dict.fromkeys(pages))[:FIRST]
    return found


def not_found(index: Path) -> list[str]:
    """Return a line for every task whose page is not among the first."""
    shown = pages_found(index)
    rows = tasks_of((Path(__file__).parents[1] / "tasks.md").read_text("utf-8"))
    if len(rows) < 10:
        return [f"docs/tasks.md: has too few tasks ({len(rows)}, limit 10). Write them as rows of the table"]
    return [
        f"docs/tasks.md: the task is not found ({task!r} by {words!r}: {', '.join(shown[words])}). Name it on {page}"
        for task, words, page in rows
        if page not in shown[words]
    ]
