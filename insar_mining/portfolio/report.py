"""The report of a portfolio: one HTML file with a map, a table to search and sort, failures and country sums."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from insar_mining import __version__
from insar_mining.doors import one_line
from insar_mining.errors import SkippedInputWarning
from insar_mining.files import write_text
from insar_mining.portfolio.ledger import Task
from insar_mining.portfolio.plan import Portfolio
from insar_mining.portfolio.work import RESULTS
from insar_mining.tables import csv_text

REPORT, COUNTRIES = "report.html", "countries.csv"
MAP_WIDTH, MAP_HEIGHT = 960.0, 480.0
LEAST_SPAN_DEG = 2.0
SPARK_WIDTH, SPARK_HEIGHT = 90.0, 20.0


def environment() -> jinja2.Environment:
    """Return the templates of this folder; everything written into them is escaped."""
    loader = jinja2.PackageLoader("insar_mining.portfolio")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)


def write_portfolio_report(portfolio: Portfolio) -> Path:
    """Write ``report.html`` and ``countries.csv`` of a portfolio from what is finished now; return the report.

    Raises
    ------
    OutputError
    """
    tasks = {task.id: task for task in portfolio.tasks}
    rows = [_row(portfolio, mine, tasks.get(f"mine-{mine['id']}")) for mine in portfolio.mines]
    years = sorted({year for row in rows for year in row["areas"]})
    countries = country_sums(rows, years)
    write_text(portfolio.folder / COUNTRIES, csv_text(countries))
    window = _window(rows)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    page = environment().get_template("portfolio.html.j2").render(
        rows=rows, years=years, counts=counts, made_from=portfolio.made_from, totals=portfolio.totals,
        countries=countries.to_dict("records"), version=__version__, width=MAP_WIDTH, height=MAP_HEIGHT,
        dots=[(*_on_map(row, window), row) for row in rows], lines=_graticule(window),
    )  # fmt: skip
    return write_text(portfolio.folder / REPORT, page)


def country_sums(rows: Sequence[Mapping[str, Any]], years: Sequence[int]) -> pd.DataFrame:
    """Sum active areas by country and year, square metres.

    Returns
    -------
    DataFrame
        country, year, area_m2, mines (with an area in that year) and mines_missing (without one): a sum is of the
        former only.
    """
    sums = []
    for country in sorted({str(row["country"]) for row in rows}):
        own = [row for row in rows if row["country"] == country]
        for year in years:
            areas = [row["areas"][year]["area"] for row in own if year in row["areas"]]
            known = [area for area in areas if math.isfinite(area)]
            sums.append((country, year, sum(known), len(known), len(own) - len(known)))
    return pd.DataFrame(sums, columns=["country", "year", "area_m2", "mines", "mines_missing"])


def _row(portfolio: Portfolio, mine: Mapping[str, Any], task: Task | None) -> dict[str, Any]:
    """Gather what is known of one mine."""
    state, reason = ("not run", mine["problem"]) if task is None else portfolio.ledger.state(task)
    folder = portfolio.folder / RESULTS / str(mine["id"])
    areas = _areas(folder / "activity.csv") if state in ("done", "partial") else {}
    has_report = state in ("done", "partial") and (folder / "report.html").is_file()
    return {
        **mine, "state": state, "reason": reason, "areas": areas, "trend": trend(areas), "spark": _spark(areas),
        "link": f"{RESULTS}/{mine['id']}/report.html" if has_report else "",
        "latest": areas[max(areas)]["area"] if areas else math.nan,
    }  # fmt: skip


def _areas(path: Path) -> dict[int, dict[str, float]]:
    """Read the yearly active areas of a result."""
    if not path.exists():
        return {}
    try:
        return {
            int(row["year"]): {
                "area": float(row["area_m2"]),
                "low": float(row["area_low_m2"]),
                "high": float(row["area_high_m2"]),
            }
            for row in pd.read_csv(path).to_dict("records")
        }
    except (OSError, ValueError, KeyError) as error:
        text = f"left out: {path}: cannot be read as a table of areas ({one_line(error)}). Run the mine again"
        warnings.warn(text, SkippedInputWarning, stacklevel=2)
        return {}


def trend(areas: Mapping[int, Mapping[str, float]]) -> str:
    """Return ``up`` or ``down`` if the intervals of the first and the last year do not meet, else ``level``."""
    years = [year for year in sorted(areas) if math.isfinite(areas[year]["area"])]
    if len(years) < 2:
        return ""
    first, last = areas[years[0]], areas[years[-1]]
    bounds = (first["low"], first["high"], last["low"], last["high"])
    if not all(math.isfinite(bound) for bound in bounds):
        return ""
    return "up" if last["low"] > first["high"] else "down" if last["high"] < first["low"] else "level"


def _spark(areas: Mapping[int, Mapping[str, float]]) -> str:
    """Return the points of a small line of areas, for SVG."""
    values = [(year, areas[year]["area"]) for year in sorted(areas) if math.isfinite(areas[year]["area"])]
    if len(values) < 2:
        return ""
    first, last = values[0][0], values[-1][0]
    top = max(area for _, area in values) or 1.0
    return " ".join(
        f"{(year - first) / (last - first) * SPARK_WIDTH:.1f},{SPARK_HEIGHT - 1 - area / top * (SPARK_HEIGHT - 2):.1f}"
        for year, area in values
    )


def _window(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float, float]:
    """Return the part of the Earth that the map shows: around all mines, 2 to 1."""
    west, east = (f(float(row["lon"]) for row in rows) for f in (min, max))
    south, north = (f(float(row["lat"]) for row in rows) for f in (min, max))
    tall = max(north - south, (east - west) / 2, LEAST_SPAN_DEG) * 1.1
    x, y = (west + east) / 2, (south + north) / 2
    return x - tall, y - tall / 2, x + tall, y + tall / 2


def _on_map(row: Mapping[str, Any], window: tuple[float, float, float, float]) -> tuple[float, float]:
    west, south, east, north = window
    x = (float(row["lon"]) - west) / (east - west) * MAP_WIDTH
    return round(x, 1), round((north - float(row["lat"])) / (north - south) * MAP_HEIGHT, 1)


def _graticule(window: tuple[float, float, float, float]) -> list[dict[str, Any]]:
    """Return meridians and parallels of the map with their names."""
    west, south, east, north = window
    step = next(s for s in (0.5, 1, 2, 5, 10, 15, 30, 60) if (north - south) / s <= 6 or s == 60)
    lines = []
    for number in range(math.ceil(west / step), math.floor(east / step) + 1):
        x = (number * step - west) / (east - west) * MAP_WIDTH
        lines.append({"x1": x, "x2": x, "y1": 0, "y2": MAP_HEIGHT, "name": f"{(number * step + 180) % 360 - 180:g}°"})
    for number in range(math.ceil(south / step), math.floor(north / step) + 1):
        y = (north - number * step) / (north - south) * MAP_HEIGHT
        lines.append({"x1": 0, "x2": MAP_WIDTH, "y1": y, "y2": y, "name": f"{number * step:g}°"})
    return lines
