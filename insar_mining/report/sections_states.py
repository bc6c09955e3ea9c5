"""Write the report's section on what is known of the ground of each year, and the words of its flags."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping

import numpy as np

from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame, figure_of
from insar_mining.report.images import as_png
from insar_mining.report.plots_areas import SQUARE_KM
from insar_mining.report.plots_maps import NARROW_IN, map_figure
from insar_mining.report.plots_states import STATE_WORDS, plot_states

FLAG_WORDS = {
    "FEW_PAIRS": "fewer than four pairs: what a cell reads undisturbed is hardly known",
    "NO_CONTROL": "no ground around the mine was mapped: all ground is its own control",
    "NO_CLASS": "so much of the mine's ground has none like it around the mine",
    "WEATHER": "in so many pairs all ground like a part of the mine's fell, inside and outside: they say little of it",
    "WEATHER_ONLY": "ground that lost coherence only in such pairs; in the upper bound alone",
    "SEEN": "share of the pairs, on average, that would have shown work",
    "DOUBT": "ground that was never coherent, and such ground is found outside as well; in no lower bound",
    "ALWAYS": "ground that was never coherent, with none like it outside: counted as worked throughout",
    "NATURAL": "ground that is never coherent and goes on outside the mine; in the upper bound alone",
    "PLACEBO": "share of the ground around the mine that the same decision calls worked: fields, roads or other mines",
    "CONTAMINATED": "so much of the ground around the mine is worked itself that it is a poor control",
    "MASK": "ground that a mask settled",
}
AREA_COLUMNS = {
    "area_m2": "worked",
    "partial_m2": "partly disturbed",
    "doubt_m2": "in doubt",
    "weather_only_m2": "weather only",
    "blind_m2": "blind",
}


def flags_of_row(row: Mapping[Hashable, object]) -> list[str]:
    """Return the flags of a year's row of activity.csv, their areas with thousands separated."""
    text = row.get("flags")
    if not isinstance(text, str):
        return []
    readable = re.sub(r"(\d+) m2", lambda area: f"{int(area[1]):,} m²", text)
    return [part.strip() for part in readable.split(";") if part.strip()]


def states_section(content: ReportContent, frame: MapFrame) -> dict[str, object] | None:
    """Return maps of the states, the area in each, and what each flag means; None with the published method."""
    found = content.analysis.significance
    if found is None:
        return None
    maps = []
    for year in content.years:
        layer = found.states.sel(year=year)
        ax = map_figure(frame, width_in=NARROW_IN, legend_rows=len(STATE_WORDS) + 1).add_subplot()
        plot_states(layer, content.mine, ax, title=str(year), frame=frame)
        cells = {words_: int(np.count_nonzero(layer.values == state)) for state, words_ in STATE_WORDS.items()}
        said = ", ".join(f"{name} {count:,}" for name, count in cells.items() if count)
        maps.append(as_png(figure_of(ax), f"States of the cells of {year}: {said}.", colours=32))
    table = content.headline.to_dict("records")
    digits = words.decimals_for(words.number(row["area_m2"]) / SQUARE_KM for row in table)
    rows = [
        {
            "year": int(row["year"]),
            "areas": [
                words.fixed(words.number(row[name]) / SQUARE_KM, digits) if name in row else words.UNKNOWN
                for name in AREA_COLUMNS
            ],
            "seen": _percent(words.number(row.get("seen"))),
            "placebo": _percent(words.number(row.get("placebo"))),
        }
        for row in table
    ]
    raised = {flag.split()[0] for row in table for flag in flags_of_row(row)}
    return {
        "maps": maps,
        "columns": list(AREA_COLUMNS.values()),
        "rows": rows,
        "flags": [(name, meaning) for name, meaning in FLAG_WORDS.items() if name in raised],
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else words.UNKNOWN
