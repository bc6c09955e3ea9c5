"""Write the report's section on how often and when the ground was disturbed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from insar_mining.activity.timeline import Timeline
from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame, figure_of
from insar_mining.report.images import Picture, as_png, as_svg
from insar_mining.report.plots_activity import (
    plot_active_date,
    plot_activity_calendar,
    plot_duty_cycle,
    plot_zone_activity,
)
from insar_mining.report.plots_maps import NARROW_IN, map_figure
from insar_mining.report.sections_reference import border_sentence, power_sentence, season_sentence


def often_section(content: ReportContent, frame: MapFrame) -> dict[str, object] | None:
    """Return the duty cycle of every year and the calendar; None where the method does not count pairs."""
    timeline = content.analysis.timeline
    if timeline is None:
        return None
    maps = []
    for place, year in enumerate(np.atleast_1d(timeline.duty["year"].values)):
        layer = timeline.duty.isel(year=place)
        ax = plot_duty_cycle(
            layer, content.mine, map_figure(frame, width_in=NARROW_IN).add_subplot(), title=str(int(year)), frame=frame
        )
        disturbed = layer.values[layer.values > 0]
        level = f"{disturbed.mean():.2f} on average where it was at all" if disturbed.size else "it never was"
        maps.append(as_png(figure_of(ax), f"Share of the pairs of {int(year)} in which ground was disturbed; {level}."))
    calendar: Picture | None = None
    if not timeline.monthly.empty:
        most = timeline.monthly.iloc[int(np.argmax(timeline.monthly["area_m2"]))]
        said = f"Calendar of disturbed ground by month; most in {int(most['month'])}/{int(most['year'])}."
        calendar = as_svg(figure_of(plot_activity_calendar(timeline.monthly)), said)
    zones = None if content.analysis.zones is None or content.analysis.zones.empty else _zones(content.analysis.zones)
    return {
        "maps": maps,
        "calendar": calendar,
        "dates": _dates(content, timeline, frame),
        "zones": zones,
        "season": season_sentence(content.seasons),
        "power": power_sentence(content),
        "border": border_sentence(content),
    }


def _dates(content: ReportContent, timeline: Timeline, frame: MapFrame) -> list[Picture]:
    """Draw the first and last day of disturbance on one scale."""
    maps = []
    given = (("first", "begins", timeline.first_active), ("last", "ends", timeline.last_active))
    for name, word, layer in given:
        if bool(np.isnat(layer.values).all()):
            continue
        ax = map_figure(frame, width_in=NARROW_IN).add_subplot()
        plot_active_date(
            layer, content.mine, ax, title=f"{name.capitalize()} disturbance", period=content.period, frame=frame
        )
        edge = layer.values[~np.isnat(layer.values)].astype("datetime64[D]")
        day = words.day(edge.min() if name == "first" else edge.max())
        maps.append(as_png(figure_of(ax), f"Day on which the disturbance of each cell {word}; the {name} is {day}."))
    return maps


def _zones(zones: pd.DataFrame) -> dict[str, object]:
    """Draw and tabulate the starts and stops of work in each zone."""
    rows = [
        {
            "zone": str(row["zone"]).replace("_", " "),
            "start": words.day(row["start"]),
            "stop": words.day(row["stop"]),
            "pairs": words.whole(words.number(row["pairs"])),
            "share": _percent(words.number(row["share"])),
            "worked": "worked" if bool(row["worked"]) else "idle",
        }
        for row in zones.to_dict("records")
    ]
    worked = sum(row["worked"] == "worked" for row in rows)
    said = f"When work in each zone starts and stops: {len(rows)} stretches, {worked} of them worked."
    return {"rows": rows, "plot": as_svg(figure_of(plot_zone_activity(zones)), said)}


def _percent(share: float) -> str:
    """Write a share in per cent, with enough digits to distinguish a small one from none."""
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"
