"""Make and write pages of HTML from the templates of this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from insar_mining.files import write_text


@cache
def _template(name: str) -> jinja2.Template:
    # names of mines and reasons come from files of others: everything is escaped unless it is our own markup
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("insar_mining.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render(name: str, **values: Any) -> str:
    """Render a template as HTML text in which everything that is written into it is escaped."""
    # text that came from badly decoded files may hold halves of characters, which UTF-8 cannot
    return _template(name).render(values).encode("utf-8", errors="replace").decode("utf-8")


def write_page(path: Path | str, name: str, **values: Any) -> Path:
    """Write a rendered template; the file appears when it is complete."""
    return write_text(path, render(name, **values))
