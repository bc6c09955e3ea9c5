"""How often and when: shown where pairs were counted, and left out where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from insar_mining.activity.corrections import fit_baseline, fit_decay
from insar_mining.activity.reference import Drift, Spread
from insar_mining.report import sections_reference
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame
from insar_mining.report.html import render_report
from insar_mining.report.plots_decay import plot_baseline_loss
from insar_mining.report.sections import report_sections
from insar_mining.report.sections_activity import often_section
from insar_mining.report.sections_reference import (
    FACTOR_COLUMNS,
    border_sentence,
    power_sentence,
    reference_parts,
    season_sentence,
)

from .conftest import counted, with_parts


@pytest.mark.usefixtures("undrawn")
def test_duty_and_calendar_are_drawn_and_told(content: ReportContent) -> None:
    section = often_section(counted(content), MapFrame.of(content.analysis.coh))
    assert section is not None
    assert len(section["maps"]) == len(content.years)  # type: ignore[arg-type]
    assert "most in 2/2021" in str(section["calendar"])


@pytest.mark.usefixtures("undrawn")
def test_a_method_that_counts_no_pairs_has_no_such_section(content: ReportContent) -> None:
    assert often_section(content, MapFrame.of(content.analysis.coh)) is None
    assert 'id="often"' not in render_report(content)
    assert 'href="#often"' in render_report(counted(content))


@pytest.mark.usefixtures("undrawn")
def test_hues_are_shown_of_classes_that_were_cut_from_them_alone(content: ReportContent) -> None:
    assert content.classes is not None
    assert report_sections(content)["classes"]["hues"] is None  # type: ignore[index]
    bits = (content.analysis.annual.values > 0.15).astype(np.uint8)
    classes = content.classes.copy(data=bits[0] + 2 * bits[1] + 4 * bits[2])
    names = "Black Red Green Yellow Blue Magenta Cyan White"
    by_hue = with_parts(content, classes=classes.assign_attrs(flag_meanings=names))
    section = report_sections(by_hue)["classes"]
    assert "Histogram of the hue" in str(section["hues"])  # type: ignore[index]
    assert "Green" in str(section["areas"])  # type: ignore[index]
    assert "Black" not in str(section["areas"])  # type: ignore[index]
    decided = with_parts(by_hue, method="significant", activity=content.analysis.activity.assign(method="significant"))
    assert report_sections(decided)["classes"]["hues"] is None  # type: ignore[index]


@pytest.mark.usefixtures("undrawn")
def test_a_rejection_is_told_with_what_stands_out(content: ReportContent) -> None:
    bare = render_report(content)
    assert "rejected pairs, numbered in time" in bare
    assert "What stands out" not in bare
    said = np.where(content.scenes["kept"], "", "snow_cm 12 on 2021-01-29")
    explained = render_report(with_parts(content, scenes=content.scenes.assign(explanation=said)))
    assert explained.count('<td class="text">snow_cm 12 on 2021-01-29</td>') == int((~content.scenes["kept"]).sum())
    calm = content.scenes.assign(kept=True, reason="")
    assert "numbered in time" not in render_report(with_parts(content, scenes=calm))


def dated(content: ReportContent) -> ReportContent:
    """With dates, zones and a season: the first disc is disturbed from March to June 2021."""
    disc = content.analysis.annual.values[0] > 0.2
    zones = pd.DataFrame(
        {
            "zone": ["pit", "pit", "dump_2"],
            "start": ["2021-03-01", "2021-06-05", "2021-01-04"],
            "stop": ["2021-06-05", "2023-11-01", "2023-11-01"],
            "pairs": [8, 60, 68],
            "share": [0.62, 0.01, 0.08],
            "worked": [True, False, True],
        }
    )
    none = np.datetime64("NaT", "ns")
    plane = content.analysis.stable.astype("float32")
    first = plane.copy(data=np.where(disc, np.datetime64("2021-03-01", "ns"), none))
    last = plane.copy(data=np.where(disc, np.datetime64("2021-06-05", "ns"), none))
    return counted(content, zones=zones, first_active=first, last_active=last)


@pytest.mark.usefixtures("undrawn")
def test_dates_zones_and_seasons_are_told(content: ReportContent, monkeypatch: pytest.MonkeyPatch) -> None:
    seasons = {"amplitude": 0.8, "peak_month": 6.9, "p_value": 0.001}
    monkeypatch.setattr("insar_mining.report.content.seasonality", lambda monthly: seasons)
    section = often_section(dated(content), MapFrame.of(content.analysis.coh))
    assert section is not None
    first, last = section["dates"]  # type: ignore[misc]
    assert "the first is 1 March 2021" in first.alt  # type: ignore[has-type]
    assert "the last is 5 June 2021" in last.alt  # type: ignore[has-type]
    rows = section["zones"]["rows"]  # type: ignore[index]
    assert [row["worked"] for row in rows] == ["worked", "idle", "worked"]
    assert rows[0] == {
        "zone": "pit", "start": "1 March 2021", "stop": "5 June 2021", "pairs": "8", "share": "62.0 %",
        "worked": "worked",
    }  # fmt: skip
    few = dated(content)
    assert few.analysis.zones is not None
    small = often_section(
        with_parts(few, zones=few.analysis.zones.assign(share=[0.0032, 0.0, 0.046])), MapFrame.of(content.analysis.coh)
    )
    assert small is not None
    assert [row["share"] for row in small["zones"]["rows"]] == ["0.32 %", "0 %", "4.6 %"]  # type: ignore[index]
    assert "swings by 80 % of its mean, highest in June" in str(section["season"])
    page = render_report(dated(content))
    for words_ in ("From when to when", "Starts and stops", "Stretches of even activity", "dump 2"):
        assert words_ in page, words_
    bare = render_report(counted(content))
    assert "From when to when" not in bare
    assert "Starts and stops" not in bare


@pytest.mark.usefixtures("undrawn")
def test_a_season_that_chance_makes_is_none(content: ReportContent) -> None:
    chance = {"amplitude": 0.8, "peak_month": 6.9, "p_value": 0.2}
    assert "No season stands out" in str(season_sentence(chance))
    assert season_sentence(dict.fromkeys(("amplitude", "peak_month", "p_value"), float("nan"))) is None
    assert season_sentence(content.seasons) is None


@pytest.mark.usefixtures("undrawn")
def test_the_least_that_could_be_seen_is_told(content: ReportContent) -> None:
    assert power_sentence(content) is None
    table = content.analysis.activity.assign(smallest_area_m2=6400.0, smallest_duty=1 / 25)
    said = str(power_sentence(with_parts(content, activity=table)))
    assert "0.64 ha in 2021 (one pair is 4 % of that year's)" in said
    assert "0.64 ha in 2023" in said
    unseen = str(power_sentence(with_parts(content, activity=table.assign(smallest_area_m2=np.nan))))
    assert "not even a square of 8 x 8 cells" in unseen
    assert "measures" not in unseen


@pytest.mark.usefixtures("undrawn")
def test_what_the_border_decides_is_told(content: ReportContent) -> None:
    assert border_sentence(content) is None
    table = content.analysis.activity.assign(area_map_m2=2e6, area_loose_m2=2.2e6, area_strict_m2=1.85e6)
    said = str(border_sentence(with_parts(content, activity=table)))
    assert "2 km² mapped in 2021 would be 2.2 or 1.85 km²" in said
    assert border_sentence(with_parts(content, activity=table.assign(area_map_m2=0.0))) is None


@pytest.mark.usefixtures("undrawn")
def test_the_reference_is_shown_with_what_time_and_baseline_take(content: ReportContent) -> None:
    """Stable points of known decay: 0.9 over 12 days, 0.8 over 24, and a baseline that takes a tenth at 200 m."""
    days = np.tile([12, 24], content.scenes.shape[0])[: len(content.scenes)]
    baseline = np.linspace(-200, 200, len(content.scenes))
    floor, factor = 0.34, 0.9 ** ((baseline / 200) ** 2)
    mean = floor + np.where(days == 12, 0.56, 0.46) * factor
    scenes = content.scenes.assign(stable_mean=mean, kept=True, reason="")
    pairs = content.pair_table.assign(days=days, perpendicular_baseline_m=baseline)
    decay = fit_decay(days, mean / factor + floor * (1 - 1 / factor), floor=floor)
    loss = fit_baseline(baseline, mean, left=decay.share(days), floor=floor)
    spread, drift = Spread(900, 12, 16, 0.25), Drift(-0.03, 0.002, True, 40, 2.5)
    factors = pd.DataFrame([("snow_cm, larger", 0.0, 14.0, 0.97, 1e-4)], columns=list(FACTOR_COLUMNS))
    full = with_parts(
        content,
        scenes=scenes,
        pairs=pairs,
        decay=decay,
        baseline_loss=loss,
        spread=spread,
        drift=drift,
        rejection_factors=factors,
    )
    parts = reference_parts(full)
    assert "from 0.90 to 0.80 over 12 to 24 days" in str(parts["decay"])
    assert "10.0 % lost at 200 m" in str(parts["baseline"])
    assert "12 of the 16 parts" in str(parts["sentences"])
    assert "They drift" in str(parts["sentences"])
    page = render_report(with_parts(full, scenes=content.scenes, pairs=pairs))
    assert "What rejected pairs have in common" in page
    assert "<td>97 %</td>" in page
    small = with_parts(full, drift=Drift(-0.003, 0.002, True, 40, 2.5))
    assert "too little to matter" in str(reference_parts(small)["sentences"])
    none = with_parts(full, drift=Drift(-0.03, 0.2, True, 40, 2.5))
    assert "no drift is seen" in str(reference_parts(none)["sentences"])
    # pairs of one span show no decay, and unknown baselines no loss
    flat = with_parts(full, pairs=pairs.assign(days=12, perpendicular_baseline_m=np.nan))
    assert reference_parts(flat)["decay"] is None
    assert reference_parts(flat)["baseline"] is None


@pytest.mark.usefixtures("undrawn")
def test_points_and_curve_of_the_baseline_lie_on_each_other(content: ReportContent, monkeypatch: Any) -> None:
    """Whatever the span: points are brought to the shortest one, as the curve is."""
    drawn = {}

    def spy(baseline: Any, coherence: Any, fits: Any) -> Any:
        drawn.update(baseline=baseline, coherence=coherence, fits=fits)
        return plot_baseline_loss(baseline, coherence, fits)

    monkeypatch.setattr(sections_reference, "plot_baseline_loss", spy)
    days = np.tile([12, 24], len(content.scenes))[: len(content.scenes)]
    baseline = np.linspace(0, 200, len(content.scenes))
    mean = 0.34 + np.where(days == 12, 0.56, 0.46) * 0.9 ** ((baseline / 200) ** 2)
    decay = fit_decay(days[:2].repeat(3), np.tile([0.9, 0.8], 3).reshape(3, 2).T.ravel(), floor=0.34)
    loss = fit_baseline(baseline, mean, left=decay.share(days), floor=0.34)
    scenes = content.scenes.assign(stable_mean=mean, kept=True)
    pairs = content.pair_table.assign(days=days, perpendicular_baseline_m=baseline)
    reference_parts(with_parts(content, scenes=scenes, pairs=pairs, decay=decay, baseline_loss=loss))
    (name,) = drawn["fits"]
    assert name == "stable points, brought to 12 days"
    fit = drawn["fits"][name]
    curve = fit.floor + fit.level * fit.factor(drawn["baseline"])
    np.testing.assert_allclose(drawn["coherence"][name], curve, atol=2e-3)


@pytest.mark.usefixtures("undrawn")
def test_class_areas_show_their_intervals_where_they_are_known(content: ReportContent) -> None:
    assert "Area of the cells of each class." in render_report(content)
    areas = pd.DataFrame(
        {"class": ["Black", "Red"], "area_m2": [9e5, 3e5], "area_low_m2": [8e5, 2e5], "area_high_m2": [1e6, 4e5]}
    )
    with_intervals = with_parts(content, class_areas=areas)
    assert "Area of each class and its interval" in render_report(with_intervals)
    section = report_sections(with_intervals)["classes"]
    assert "Red 0.30 km²" in section["areas"].alt  # type: ignore[index]
    assert "Black" not in section["areas"].alt  # type: ignore[index]
