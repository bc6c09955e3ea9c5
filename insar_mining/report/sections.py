"""Fill in the template: the pictures, rows and sentences of each section of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from matplotlib.axes import Axes

from insar_mining import __version__
from insar_mining.activity.analysis import Comparison
from insar_mining.activity.published.composite import CLASS_NAMES
from insar_mining.errors import ReportError
from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.explore import explorer
from insar_mining.report.frame import MapFrame, figure_of
from insar_mining.report.images import Picture, as_png, as_svg
from insar_mining.report.plots_activity import plot_class_areas, plot_hue_histogram
from insar_mining.report.plots_areas import SQUARE_KM, plot_areas
from insar_mining.report.plots_classes import (
    BAND_WIDTH_IN,
    FOUND_COLOURS,
    class_colours,
    class_flags,
    describe_class,
    plot_class_band,
    plot_classes,
    plot_found_and_truth,
    plot_rgb,
    plot_rgb_legend,
)
from insar_mining.report.plots_maps import (
    NARROW_IN,
    map_figure,
    mean_coherence,
    plot_mine,
    plot_ndai_year,
    plot_stable_points,
)
from insar_mining.report.sections_activity import often_section
from insar_mining.report.sections_ground import ground_section
from insar_mining.report.sections_images import images_section
from insar_mining.report.sections_reference import reference_parts
from insar_mining.report.sections_states import flags_of_row, states_section

Section = dict[str, object]


def report_sections(content: ReportContent) -> dict[str, object]:
    """Return the variables of the template, one per section."""
    whole = MapFrame.of(content.analysis.coh)
    # ground around the mine is control: shown where it matters, left out where it would make the mine small
    frame = whole.around(content.mine.geometry)
    mean = mean_coherence(content.analysis.coh)
    return {
        "mine": content.mine,
        "simulated": content.comparison is not None,
        "head": _head(content),
        "areas": _areas(content),
        "explore": explorer(content, mean),
        "truth": _truth(content, frame),
        "states": states_section(content, frame),
        "place": _place(content, whole, mean),
        "images": images_section(content),
        "stable": _stable(content, whole, mean),
        "annual": _annual(content, frame),
        "often": often_section(content, frame),
        "ground": ground_section(content),
        "composite": _composite(content, frame),
        "classes": _classes(content, frame),
        "caveats": _caveats(content),
        "skipped": [
            {"what": str(item.get("what", "")), "reason": str(item.get("reason", ""))} for item in content.skipped
        ],
        "made": _made(content),
    }


def _narrow(frame: MapFrame, width_in: float, legend_rows: int = 0) -> Axes:
    """Return axes of a map in a row of maps, so that its text keeps its size."""
    return map_figure(frame, width_in=width_in, legend_rows=legend_rows).add_subplot()


def _head(content: ReportContent) -> Section:
    rows = content.headline
    areas = [words.number(area) for area in rows["area_m2"]]
    digits = words.decimals_for(area / SQUARE_KM for area in areas)
    cards = [
        {
            "year": int(year),
            "area_km2": words.fixed(area / SQUARE_KM, digits) if math.isfinite(area) else None,
            "change": None if place == 0 else words.change(area, areas[place - 1]),
            "before": None if place == 0 else int(rows["year"].iloc[place - 1]),
            "interval": _interval(words.number(low), words.number(high), digits),
            "flags": flags,
        }
        for place, (year, area, low, high, flags) in enumerate(
            zip(rows["year"], areas, rows["area_low_m2"], rows["area_high_m2"], _flags(rows), strict=True)
        )
    ]
    return {
        "period": [words.day(moment) for moment in content.period],
        "method": words.METHOD_NAMES.get(content.options.method, content.options.method),
        "method_words": words.METHOD_WORDS.get(content.options.method, ""),
        "cards": cards,
        "sentence": _headline_sentence(content, digits),
    }


def _flags(rows: pd.DataFrame) -> list[list[str]]:
    """Return the flags of each row."""
    return [flags_of_row(row) for row in rows.to_dict("records")]


def _interval(low: float, high: float, digits: int) -> str | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return f"{words.fixed(low / SQUARE_KM, digits)} to {words.fixed(high / SQUARE_KM, digits)}"


def _headline_sentence(content: ReportContent, digits: int) -> str:
    known = content.headline[content.headline["area_m2"].notna()]
    if known.empty:
        reason = (
            f": the published method compares three years, and these images cover {words.in_words(content.years)} only"
            if content.options.method == "published" and len(content.years) < 3
            else " from these images"
        )
        return f"No active area could be determined{reason}. The sections below show what could be."
    last = known.iloc[-1]
    area, year = float(last["area_m2"]), int(last["year"])
    share = 100 * area / content.mine.area_m2()
    text = f"In {year}, {words.fixed(area / SQUARE_KM, digits)} km² of ground was active, {share:.0f} % of the outline"
    if len(known) == 1:
        return text + "."
    before = known.iloc[-2]
    difference = area - float(before["area_m2"])
    word = "more" if difference > 0 else "less"
    if difference == 0 or float(before["area_m2"]) == 0:
        amount = "as much as" if difference == 0 else "after none"
        return f"{text}, {amount} in {int(before['year'])}."
    percent = 100 * abs(difference) / float(before["area_m2"])
    return f"{text} and {percent:.1f} % {word} than in {int(before['year'])}."


def _areas(content: ReportContent) -> Section:
    table = content.analysis.activity.sort_values(["method", "year"], kind="stable")
    table = pd.concat([table[table["method"].astype(str) == content.options.method], table]).drop_duplicates()
    digits = words.decimals_for(words.number(area) / SQUARE_KM for area in table["area_m2"])
    outline_m2 = content.mine.area_m2()
    rows = []
    before: dict[str, float] = {}
    for row in table.to_dict("records"):
        area, method = words.number(row["area_m2"]), str(row["method"])
        rows.append(
            {
                "year": int(row["year"]),
                "method": method,
                "area_m2": area,
                "area_km2": words.fixed(area / SQUARE_KM, digits),
                "interval": _interval(words.number(row["area_low_m2"]), words.number(row["area_high_m2"]), digits),
                "change": words.change(area, before[method]) if method in before else "",
                "share": f"{100 * area / outline_m2:.0f} %" if math.isfinite(area) else words.UNKNOWN,
                "active_pixels": words.whole(words.number(row["active_pixels"])),
                "n_pixels": words.whole(words.number(row["n_pixels"])),
                "n_pairs": words.whole(words.number(row["n_pairs"])),
                "flags": "; ".join(flags_of_row(row)),
            }
        )
        before[method] = area
    if table["area_m2"].isna().all():
        return {"rows": rows, "plot": None, "several_methods": len(before) > 1}
    shown = "; ".join(f"{row['year']}: {row['area_km2']} km²" for row in rows)
    plot = as_svg(figure_of(plot_areas(table)), f"Bar chart of the active area per year. {shown}.")
    return {"rows": rows, "plot": plot, "several_methods": len(before) > 1}


def _truth(content: ReportContent, frame: MapFrame) -> Section | None:
    if content.comparison is None:
        return None
    table = content.comparison.table.sort_values("year")
    digits = words.decimals_for(
        value / SQUARE_KM for value in table[["truth_area_m2", "found_area_m2"]].to_numpy(dtype=float).ravel()
    )
    rows = []
    for row in table.to_dict("records"):
        truth, found = words.number(row["truth_area_m2"]), words.number(row["found_area_m2"])
        rows.append(
            {
                "year": int(row["year"]),
                "truth_m2": truth,
                "found_m2": found,
                "truth_km2": words.fixed(truth / SQUARE_KM, digits),
                "found_km2": words.fixed(found / SQUARE_KM, digits),
                "difference_km2": words.signed((found - truth) / SQUARE_KM, digits),
                "difference": words.change(found, truth),
            }
        )
    return {"rows": rows, "maps": _truth_maps(content, content.comparison, frame)}


def _truth_maps(content: ReportContent, comparison: Comparison, frame: MapFrame) -> list[Picture]:
    maps = []
    for year in np.atleast_1d(comparison.truth["year"].values):
        if year not in comparison.found["year"].values:
            raise ReportError(f"the truth has the year {year}, what was found has not: give the same years in both")
        found, truth = comparison.found.sel(year=year), comparison.truth.sel(year=year)
        ax = _narrow(frame, NARROW_IN, legend_rows=len(FOUND_COLOURS))
        plot_found_and_truth(found, truth, content.mine, int(year), ax, frame=frame)
        maps.append(as_png(figure_of(ax), f"Map of {year}: where active ground was found, missed, or found in error."))
    return maps


def _place(content: ReportContent, frame: MapFrame, mean: xr.DataArray) -> Section:
    inside = mean.values[np.isfinite(mean.values)]
    level = f" It averages {inside.mean():.2f} over the map." if inside.size else " No cell has data."
    ax = plot_mine(mean, content.mine, frame=frame)
    centre = content.mine.geometry.centroid
    return {
        "map": as_png(figure_of(ax), f"Map of the mean coherence with the outline of {content.mine.name}.{level}"),
        "outline_km2": words.fixed(content.mine.area_m2() / SQUARE_KM, 2),
        "centre": f"{abs(centre.y):.4f}° {'N' if centre.y >= 0 else 'S'}, "
        f"{abs(centre.x):.4f}° {'E' if centre.x >= 0 else 'W'}",
        "crs": frame.crs.name,
        "size": f"{frame.size_km[0]:.2f} km by {frame.size_km[1]:.2f} km, {frame.width} by {frame.height} cells",
    }


def _stable(content: ReportContent, frame: MapFrame, mean: xr.DataArray) -> Section:
    count = int(np.count_nonzero(content.analysis.stable.values.astype(bool)))
    ax = plot_stable_points(content.analysis.stable, content.mine, mean, frame=frame)
    return {
        "count": count,
        "map": as_png(figure_of(ax), f"Map of the {count:,} stable points over the mean coherence."),
        **reference_parts(content),
    }


def _annual(content: ReportContent, frame: MapFrame) -> Section:
    if not content.years:
        raise ReportError("the annual NDAI holds no year: a report needs at least one")
    maps = []
    for place, year in enumerate(content.years):
        layer = content.analysis.annual.isel(year=place).compute()
        ax = _narrow(frame, NARROW_IN)
        plot_ndai_year(layer, content.mine, year, ax, ceiling=content.options.ceiling, frame=frame)
        finite = layer.values[np.isfinite(layer.values)]
        level = f"mean {finite.mean():.3f}" if finite.size else "no cell has data"
        maps.append(as_png(figure_of(ax), f"Map of the annual NDAI of {year}; {level}."))
    return {"maps": maps, "ceiling": f"{content.options.ceiling:g}", "years": words.in_words(content.years)}


def _left_out(content: ReportContent, what_is: str, *, several: bool = False) -> str:
    if len(content.years) >= 3:
        return f"{what_is} left out: this run did not make {'them' if several else 'it'}."
    noun = "year" if len(content.years) == 1 else "years"
    compare = "they compare" if several else "it compares"
    covered = f"{len(content.years)} {noun} ({words.in_words(content.years)})"
    return f"{what_is} left out: {compare} three years, and these images cover {covered}."


def _composite(content: ReportContent, frame: MapFrame) -> Section:
    if content.rgb is None:
        both = content.classes is None
        what = "The three-year colour composite " + ("and the activity classes are" if both else "is")
        return {"left_out": _left_out(content, what, several=both)}
    years = content.analysis.last_window
    if years is None:
        raise ReportError("the years of the composite are not known: give composite_years=(red, green, blue)")
    picture = as_png(
        figure_of(plot_rgb(content.rgb, content.mine, frame=frame)),
        f"Colour composite of the annual NDAI: {years[0]} red, {years[1]} green, {years[2]} blue.",
        colours=None,
    )
    legend = as_png(
        figure_of(plot_rgb_legend(years)),
        "Three overlapping discs of light: "
        + ", ".join(f"{name} {describe_class(name, years)}" for name in ("red", "green", "blue"))
        + "; yellow, cyan, magenta and white where they overlap.",
    )
    return {"left_out": None, "map": picture, "legend": legend, "years": years}


def _classes(content: ReportContent, frame: MapFrame) -> Section | None:
    if content.classes is None:
        # the section before covers both
        return None if content.rgb is None else {"left_out": _left_out(content, "The map of activity classes is")}
    flags, years = class_flags(content.classes), content.analysis.last_window
    colours = class_colours(flags)
    labels = content.classes.transpose("y", "x").values
    rows, bands = [], []
    for value, meaning in flags.items():
        cells = labels == value
        area = None if content.cell_area_m2 is None else float((cells.sum(axis=1) * content.cell_area_m2).sum())
        rows.append(
            {
                "colour": colours[value],
                "name": meaning,
                "meaning": describe_class(meaning, years),
                "cells": words.whole(int(cells.sum())),
                "n": int(cells.sum()),
                "area_m2": area,
                "area_km2": None if area is None else words.fixed(area / SQUARE_KM, 4),
            }
        )
        ax = _narrow(frame, BAND_WIDTH_IN)
        plot_class_band(content.classes, content.mine, value, ax, years=years, frame=frame)
        alt = f"Map of the class {meaning}, {describe_class(meaning, years)}: {int(cells.sum()):,} cells."
        bands.append(as_png(figure_of(ax), alt, colours=32))
    ax = plot_classes(content.classes, content.mine, years=years, frame=frame)
    return {
        "left_out": None,
        "map": as_png(figure_of(ax), "Map of the activity classes; the counts are in the table beside it."),
        "rows": rows,
        "bands": bands,
        "has_area": content.cell_area_m2 is not None,
        "areas": _class_areas(content, rows),
        "intervals": content.class_areas is not None,
        "hues": _hues(content, content.classes),
    }


def _class_areas(content: ReportContent, rows: list[Section]) -> Picture | None:
    """Draw bars of the classes with activity, with intervals where known; idle ground would dwarf them."""
    if content.class_areas is not None:
        table = content.class_areas
    elif content.cell_area_m2 is not None:
        table = pd.DataFrame({"class": [row["name"] for row in rows], "area_m2": [row["area_m2"] for row in rows]})
    else:
        return None
    active = table[table["class"].str.lower() != "black"]
    shown = active if len(active) else table
    said = "; ".join(
        f"{name} {area / SQUARE_KM:.2f} km²" for name, area in shown[["class", "area_m2"]].itertuples(index=False)
    )
    return as_svg(figure_of(plot_class_areas(shown)), f"Bars of the area of each class: {said}.")


def _hues(content: ReportContent, classes: xr.DataArray) -> Picture | None:
    """Return the hues behind the classes; None where no hue decided."""
    years = content.analysis.last_window
    by_hue = class_flags(classes) == dict(enumerate(CLASS_NAMES))
    if content.options.method != "published" or not by_hue or years is None or not set(years) <= set(content.years):
        return None
    index = content.analysis.annual.sel(year=list(years)).transpose("year", "y", "x").compute()
    ax = plot_hue_histogram(index, classes.transpose("y", "x"))
    return as_svg(figure_of(ax), "Histogram of the hue of the three years, with the six sectors of the classes.")


def _caveats(content: ReportContent) -> list[str]:
    return [*map(str, content.notes), *words.METHOD_CAVEATS.get(content.options.method, ()), *words.GENERAL_CAVEATS]


def _made(content: ReportContent) -> Section:
    run = yaml.safe_load(content.run) if isinstance(content.run, str) else words.plain(content.run)
    if not isinstance(run, Mapping):
        raise ReportError(f"the record of the run must be a mapping, it is {type(run).__name__}")
    # the options come first in run.yaml; what made the result is recorded beside them
    record = run.get("made_by", run)
    rows = list(words.flat({key: value for key, value in dict(record).items() if key != "options"}))
    options = run.get("options", {key: value for key, value in run.items() if key != "made_by"})
    return {
        "rows": rows,
        "options": list(words.flat(options)) if "options" in run or "made_by" in run else [],
        "yaml": words.as_yaml(content.run),
        "version": __version__,
        "data_years": "\N{EN DASH}".join(dict.fromkeys(words.day(moment)[-4:] for moment in content.period)),
    }
