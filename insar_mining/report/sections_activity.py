"""The report's section on how often and when the ground was disturbed."""

from __future__ import annotations

import numpy as np

from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame, figure_of
from insar_mining.report.images import Picture, as_png, as_svg
from insar_mining.report.plots_activity import plot_activity_calendar, plot_duty_cycle
from insar_mining.report.plots_maps import NARROW_IN, map_figure


def often_section(content: ReportContent, frame: MapFrame) -> dict[str, object] | None:
    """Return the duty cycle of every year and the calendar; None where the method does not count pairs."""
    if content.duty is None:
        return None
    maps = []
    for place, year in enumerate(np.atleast_1d(content.duty["year"].values)):
        layer = content.duty.isel(year=place)
        ax = plot_duty_cycle(
            layer, content.mine, map_figure(frame, width_in=NARROW_IN).add_subplot(), title=str(int(year)), frame=frame
        )
        disturbed = layer.values[layer.values > 0]
        level = f"{disturbed.mean():.2f} on average where it was at all" if disturbed.size else "it never was"
        maps.append(as_png(figure_of(ax), f"Share of the pairs of {int(year)} in which ground was disturbed; {level}."))
    calendar: Picture | None = None
    if content.monthly is not None and not content.monthly.empty:
        most = content.monthly.iloc[int(np.argmax(content.monthly["area_m2"]))]
        said = f"Calendar of disturbed ground by month; most in {int(most['month'])}/{int(most['year'])}."
        calendar = as_svg(figure_of(plot_activity_calendar(content.monthly)), said)
    return {"maps": maps, "calendar": calendar}
