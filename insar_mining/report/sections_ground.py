"""Write the report's section on kinds of ground and on reference samples."""

from __future__ import annotations

from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.plots_areas import SQUARE_KM
from insar_mining.report.plots_series import require_columns

STRATUM_COLUMNS = ("year", "by", "stratum", "n_pixels", "active_pixels", "area_m2", "stratum_area_m2", "active_share")
ADJUSTED_COLUMNS = (
    *("year", "class", "map_area_m2", "area_m2", "area_low_m2", "area_high_m2"),
    *("n_sample", "users_accuracy", "producers_accuracy"),
)

Row = dict[str, str]


def ground_section(content: ReportContent) -> dict[str, list[Row]] | None:
    """Return the tables of strata and of corrected areas; None where neither was asked for."""
    if content.analysis.strata is None and content.analysis.adjusted is None:
        return None
    return {"strata": _strata(content), "adjusted": _adjusted(content)}


def _strata(content: ReportContent) -> list[Row]:
    if content.analysis.strata is None:
        return []
    require_columns(content.analysis.strata, STRATUM_COLUMNS, "strata")
    return [
        {
            "by": str(row["by"]),
            "kind": str(row["stratum"]).replace("_", " "),
            "year": str(int(row["year"])),
            "active": _km2(row["area_m2"]),
            "whole": _km2(row["stratum_area_m2"]),
            "share": _percent(row["active_share"]),
        }
        for row in content.analysis.strata.sort_values(["by", "stratum", "year"], kind="stable").to_dict("records")
    ]


def _adjusted(content: ReportContent) -> list[Row]:
    if content.analysis.adjusted is None:
        return []
    require_columns(content.analysis.adjusted, ADJUSTED_COLUMNS, "corrected areas")
    return [
        {
            "year": str(int(row["year"])),
            "class": str(row["class"]),
            "map": _km2(row["map_area_m2"]),
            "area": _km2(row["area_m2"]),
            "interval": f"{_km2(row['area_low_m2'])} to {_km2(row['area_high_m2'])}",
            "points": words.whole(words.number(row["n_sample"])),
            "users": _percent(row["users_accuracy"]),
            "producers": _percent(row["producers_accuracy"]),
        }
        for row in content.analysis.adjusted.to_dict("records")
    ]


def _km2(area_m2: object) -> str:
    return words.fixed(words.number(area_m2) / SQUARE_KM, 3)


def _percent(share: object) -> str:
    found = words.fixed(100 * words.number(share), 0)
    return found if found == words.UNKNOWN else f"{found} %"
