"""How often and when: shown where pairs were counted, and left out where not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame
from insar_mining.report.html import render_report
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
