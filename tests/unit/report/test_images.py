"""Figures as data URIs: the same bytes every time, nothing lost that matters."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from insar_mining.report.images import as_png, as_svg
from insar_mining.report.plots import plot_areas, plot_mine


def test_svg_is_the_same_for_the_same_figure_and_its_references_hold(content):
    first, second = (as_svg(plot_areas(content.analysis.activity).figure, "areas") for _ in range(2))
    assert first == second
    svg = base64.b64decode(first.uri.partition(",")[2]).decode()
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', svg))
    assert used
    assert used <= set(ids)


def test_png_keeps_its_colours_and_loses_its_blank_margins(content):
    mean = content.analysis.annual.isel(year=0).clip(0, 1)
    picture = as_png(plot_mine(mean, content.mine).figure, "mine")
    image = Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("RGB")
    pixels = np.asarray(image)
    assert (pixels[:6].min(), pixels[-6:].min()) < (255, 255)
    full = as_png(plot_mine(mean, content.mine).figure, "mine", colours=None)
    exact = np.asarray(Image.open(io.BytesIO(base64.b64decode(full.uri.partition(",")[2]))).convert("RGB"))
    assert pixels.shape == exact.shape
    assert np.abs(pixels.astype(int) - exact.astype(int)).max() <= 6


def test_png_is_the_same_for_the_same_figure(content):
    first, second = (
        as_png(plot_mine(content.analysis.annual.isel(year=0), content.mine).figure, "mine") for _ in range(2)
    )
    assert first == second
