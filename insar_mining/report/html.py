"""Write the report: one HTML file that needs nothing else and prints without its interactive part."""

from __future__ import annotations

from pathlib import Path

from insar_mining.files import write_text
from insar_mining.report.content import ReportContent
from insar_mining.report.pages import render
from insar_mining.report.sections import report_sections


def render_report(content: ReportContent) -> str:
    """Render the report as HTML text."""
    return render("report.html.j2", **report_sections(content))


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
    return write_text(path, render_report(content))
