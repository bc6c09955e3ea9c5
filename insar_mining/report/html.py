"""Write the report: one HTML file that needs nothing else and prints without its interactive part."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from insar_mining.files import write_text
from insar_mining.report.content import ReportContent
from insar_mining.report.sections import report_sections


@cache
def _template() -> jinja2.Template:
    # names of mines and reasons come from files of others: everything is escaped unless it is our own markup
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("insar_mining.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def render_report(content: ReportContent) -> str:
    """Render the report as HTML text."""
    return _template().render(report_sections(content))


def write_report(path: Path | str, content: ReportContent) -> Path:
    """Write the report as one self-contained HTML file.

    Images are data URIs, the style and the explorer's script are embedded, there is no address of
    another file; a content security policy inside the page allows this script only, by its hash.

    Parameters
    ----------
    path : path
        The file appears when it is complete.
    content : ReportContent

    Returns
    -------
    Path

    Raises
    ------
    ReportError
        The content cannot be drawn.
    OutputError
        The file cannot be written.
    """
    # text that came from badly decoded files may hold halves of characters, which UTF-8 cannot
    text = render_report(content).encode("utf-8", errors="replace").decode("utf-8")
    return write_text(path, text)
