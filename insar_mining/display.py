"""Short HTML for notebooks: tables of names and values, with everything from outside escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping


def table_html(title: str, rows: Mapping[str, object]) -> str:
    """Write a titled table of two columns.

    Examples
    --------
    >>> table_html("mine", {"name": "<A> & B"})
    '<table><caption>mine</caption><tr><th>name</th><td>&lt;A&gt; &amp; B</td></tr></table>'
    """
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"
