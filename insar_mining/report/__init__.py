"""Plots of every result, and one HTML file that a mine analyst can read."""

from __future__ import annotations

from insar_mining.report.content import ReportContent
from insar_mining.report.html import render_report, write_report

__all__ = ["ReportContent", "render_report", "write_report"]
