"""The explorer carries the maps as they are, and works in a real browser without a network."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import insar_mining.report
from insar_mining.report import render_report
from insar_mining.report.explore import LAYER_CELLS, NO_DATA, STEPS, averaged, quantised

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def html(content) -> str:
    return render_report(content)


@pytest.fixture(scope="module")
def data(html):
    (text,) = re.findall(r'<script type="application/json" id="explore-data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def plane(packed, rows, columns):
    return np.frombuffer(base64.b64decode(packed["values"]), np.uint8).reshape(-1, rows, columns)


def test_layers_are_the_maps_within_half_a_step(content, data):
    annual = content.analysis.annual
    for year in content.years:
        (layer,) = [layer for layer in data["layers"] if layer["label"] == f"NDAI {year}"]
        (stored,) = plane(layer, layer["rows"], layer["columns"])
        truth = annual.sel(year=year).values
        assert stored.shape == truth.shape
        np.testing.assert_array_equal(stored == NO_DATA, np.isnan(truth))
        known = np.isfinite(truth)
        clipped = np.clip(truth, layer["low"], layer["high"])[known]
        read = layer["low"] + (layer["high"] - layer["low"]) * stored[known] / STEPS
        assert np.abs(read - clipped).max() <= 0.5001 * (layer["high"] - layer["low"]) / STEPS


def test_series_hold_every_pair(content, data):
    series = data["series"]
    stored = plane(series, series["rows"], series["columns"])
    assert series["pairs"] == [str(name) for name in content.analysis.coh["pair"].values]
    assert stored.shape[0] == content.analysis.coh.sizes["pair"]
    assert series["middle"] == sorted(series["middle"])
    expected = averaged(content.analysis.coh.values.astype(float), series["cells"])
    np.testing.assert_array_equal(stored, quantised(expected, 0.0, 1.0))


def test_means_of_blocks_leave_missing_cells_aside():
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = np.nan
    np.testing.assert_allclose(averaged(values, 2), [[(1 + 4 + 5) / 3, (2 + 3 + 6 + 7) / 4], [8.5, 10.5]])
    assert np.isnan(averaged(np.full((2, 2), np.nan), 2)).all()


def test_a_large_map_is_bounded(make_content, monkeypatch):
    monkeypatch.setattr("insar_mining.report.explore.LAYER_CELLS", 100)
    text = render_report(make_content())
    (found,) = re.findall(r'id="explore-data">(.*?)</script>', text, re.DOTALL)
    assert all(layer["rows"] * layer["columns"] <= 121 for layer in json.loads(found)["layers"])
    assert LAYER_CELLS >= 10_000


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_in_a_browser_the_map_is_drawn_and_a_place_read(html, tmp_path: Path):
    page = tmp_path / "report.html"
    page.write_text(html, "utf-8")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [
            *command,
            "--enable-logging=stderr",
            "--virtual-time-budget=4000",
            "--dump-dom",
            f"{page.as_uri()}#place=0.5,0.5",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert 'data-ready="true"' in shown.stdout
    assert 'class="explore-chart"' in shown.stdout
    assert "km east" in shown.stdout
    assert "CONSOLE" not in shown.stderr, "an error of the script, or a request that the policy refused"


def test_whatever_scrolls_sideways_is_reached_with_the_keyboard(html):
    boxes = re.findall(r'<(?:div|figure)[^>]*class="(?:tablebox|wide)"[^>]*>|<pre[^>]*>', html)
    assert len(boxes) > 5
    assert all('tabindex="0"' in box for box in boxes)


def test_a_button_is_named_by_what_it_shows():
    script = (Path(insar_mining.report.__file__).parent / "templates" / "explore.js").read_text("utf-8")
    buttons = re.findall(r'button\("([^"]+)", "([^"]+)"', script)
    assert len(buttons) >= 3
    assert all(shown in name for shown, name in buttons if shown.isalpha())
