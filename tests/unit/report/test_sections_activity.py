"""How often and when: shown where pairs were counted, and left out where not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame
from insar_mining.report.html import render_report
from insar_mining.report.sections import report_sections
from insar_mining.report.sections_activity import often_section


def counted(content: ReportContent) -> ReportContent:
    given = {f.name: getattr(content, f.name) for f in dataclasses.fields(content) if f.init}
    duty = content.annual.copy(data=np.clip(content.annual.values, 0, 1))
    monthly = pd.DataFrame({"year": [2021, 2021], "month": [1, 2], "area_m2": [2e5, 7e5], "n_pairs": [2, 1]})
    return ReportContent(**{**given, "duty": duty, "monthly": monthly})


def test_duty_and_calendar_are_drawn_and_told(content: ReportContent) -> None:
    section = often_section(counted(content), MapFrame.of(content.coh))
    assert section is not None
    assert len(section["maps"]) == len(content.years)  # type: ignore[arg-type]
    assert "most in 2/2021" in str(section["calendar"])


def test_a_method_that_counts_no_pairs_has_no_such_section(content: ReportContent) -> None:
    assert often_section(content, MapFrame.of(content.coh)) is None
    assert 'id="often"' not in render_report(content)
    assert 'href="#often"' in render_report(counted(content))


def with_parts(content: ReportContent, **parts: object) -> ReportContent:
    given = {f.name: getattr(content, f.name) for f in dataclasses.fields(content) if f.init}
    return ReportContent(**{**given, **parts})


def test_hues_are_shown_of_classes_that_were_cut_from_them_alone(content: ReportContent) -> None:
    assert content.classes is not None
    assert report_sections(content)["classes"]["hues"] is None  # type: ignore[index]
    bits = (content.annual.values > 0.15).astype(np.uint8)
    classes = content.classes.copy(data=bits[0] + 2 * bits[1] + 4 * bits[2])
    names = "Black Red Green Yellow Blue Magenta Cyan White"
    by_hue = with_parts(content, classes=classes.assign_attrs(flag_meanings=names))
    section = report_sections(by_hue)["classes"]
    assert "Histogram of the hue" in str(section["hues"])  # type: ignore[index]
    assert "Green" in str(section["areas"])  # type: ignore[index]
    assert "Black" not in str(section["areas"])  # type: ignore[index]
    decided = with_parts(by_hue, method="significant", activity=content.activity.assign(method="significant"))
    assert report_sections(decided)["classes"]["hues"] is None  # type: ignore[index]


def test_a_rejection_is_told_with_what_stands_out(content: ReportContent) -> None:
    bare = render_report(content)
    assert "rejected pairs, numbered in time" in bare
    assert "What stands out" not in bare
    said = np.where(content.scenes["kept"], "", "snow_cm 12 on 2021-01-29")
    explained = render_report(with_parts(content, scenes=content.scenes.assign(explanation=said)))
    assert explained.count('<td class="text">snow_cm 12 on 2021-01-29</td>') == int((~content.scenes["kept"]).sum())
    calm = content.scenes.assign(kept=True, reason="")
    assert "numbered in time" not in render_report(with_parts(content, scenes=calm))
