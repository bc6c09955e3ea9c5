"""What is drawn of activity is what the tables and maps say, and can be told without colour."""

from __future__ import annotations

import colorsys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from insar_mining.activity import classify, fit_baseline, fit_decay
from insar_mining.errors import ReportError
from insar_mining.report import plots
from insar_mining.report.frame import figure_of


def texts(ax):
    return [text.get_text() for text in ax.texts]


def months(years=(2021, 2022), leave_out=()):
    rows = [(y, m, 1e4 * (12 * (y - 2021) + m), 2) for y in years for m in range(1, 13) if (y, m) not in leave_out]
    return pd.DataFrame(rows, columns=["year", "month", "area_m2", "n_pairs"]).sample(frac=1, random_state=1)


def test_the_duty_cycle_is_drawn_from_0_to_1(content):
    duty = content.analysis.annual.isel(year=0, drop=True).clip(0, 1)
    ax = plots.plot_duty_cycle(duty, content.mine, title="2021")
    (image,) = ax.get_images()
    assert image.get_clim() == (0, 1)
    np.testing.assert_allclose(image.get_array().filled(np.nan), duty.values, rtol=1e-6)
    with pytest.raises(ReportError, match="select one layer"):
        plots.plot_duty_cycle(content.analysis.annual, content.mine)


def test_the_calendar_says_every_number_and_hatches_what_is_not_known():
    ax = plots.plot_activity_calendar(months(leave_out={(2021, 2), (2022, 12)}))
    (image,) = ax.get_images()
    shown = image.get_array().filled(np.nan)
    assert shown.shape == (2, 12)
    assert np.argwhere(np.isnan(shown)).tolist() == [[0, 1], [1, 11]]
    assert shown[1, 0] == pytest.approx(0.13)
    assert "0.13" in texts(ax)
    assert texts(ax).count("2 pairs") == 22
    assert sum(patch.get_hatch() is not None for patch in ax.patches) == 2
    shares = months().assign(share=0.25).drop(columns=["area_m2", "n_pairs"])
    assert texts(plots.plot_activity_calendar(shares, value="share")).count("0.25") == 24


def test_the_ink_of_the_calendar_stands_out_from_every_cell():
    """Contrast of at least 3 to 1 after the Web Content Accessibility Guidelines, from none to all."""
    table = pd.DataFrame({"year": 2021, "month": range(1, 13), "share": np.linspace(0, 1, 12)})
    ax = plots.plot_activity_calendar(table, value="share")
    (image,) = ax.get_images()

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for text in ax.texts:
        cell = luminance(image.cmap(image.norm(table["share"][round(text.get_position()[0])]))[:3])
        ink = luminance(text.get_color())
        assert (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05) >= 3


def test_calendars_that_cannot_be_drawn_are_named():
    with pytest.raises(ReportError, match="one row for each year and month"):
        plots.plot_activity_calendar(pd.concat([months(), months()]))
    with pytest.raises(ReportError, match="lacks month"):
        plots.plot_activity_calendar(months().drop(columns="month"))
    with pytest.raises(ReportError, match="no month to draw"):
        plots.plot_activity_calendar(months().iloc[:0])


def test_every_hue_lies_in_its_bar_and_sectors_hold_the_classes():
    """Hues by the standard library's colorsys; the numbers over the sectors are the counts of the classes."""
    rng = np.random.default_rng(5)
    years = [2021, 2022, 2023]
    annual = xr.DataArray(
        rng.uniform(0.0, 0.5, (3, 40, 50)),
        dims=("year", "y", "x"),
        coords={"year": years, "y": np.arange(40.0)[::-1], "x": np.arange(50.0), "cell_area_m2": 400.0},
    )
    classes = classify(annual, black_below=0.1)
    ax = plots.plot_hue_histogram(annual, classes)
    coloured = (classes.values > 0) & (classes.values < 7)
    hues = [360 * colorsys.rgb_to_hsv(*value)[0] for value in annual.values[:, coloured].T]
    hues = [hue - 360 if hue >= 330 else hue for hue in hues]
    bars = {round(bar.get_x() + bar.get_width() / 2, 1): bar.get_height() for bar in ax.patches}
    expected, edges = np.histogram(hues, np.arange(-30, 331, 5.0))
    assert [bars[round(middle, 1)] for middle in (edges[:-1] + edges[1:]) / 2] == expected.tolist()
    said = {text.split("\n")[0]: text for text in texts(ax)}
    for name, value in (("red", 1), ("yellow", 3), ("green", 2), ("cyan", 6), ("blue", 4), ("magenta", 5)):
        assert f"{(classes.values == value).sum():,} cells" in said[name], name
    assert "2021 and 2022" in said["yellow"]
    assert f"{(classes.values == 7).sum():,} cells white" in ax.get_xlabel()
    with pytest.raises(ReportError, match="three layers"):
        plots.plot_hue_histogram(annual[:2], classes)


def test_class_areas_are_bars_with_their_names_numbers_and_intervals():
    names = ("Black", "Red", "haul_road")
    table = pd.DataFrame(
        {
            "class": names,
            "area_m2": [2e6, 1e6, 5e5],
            "area_low_m2": [1.8e6, np.nan, 4e5],
            "area_high_m2": [2.3e6, np.nan, 7e5],
        }
    )
    ax = plots.plot_class_areas(table)
    assert [bar.get_width() for bar in ax.patches] == [2.0, 1.0, 0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Black", "Red", "haul road"]
    assert texts(ax) == ["2", "1", "0.5"]
    assert to_rgb(ax.patches[1].get_facecolor()) == (1, 0, 0)
    reaches = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(reaches, [[1.8, 2.3], [0.4, 0.7]])
    plain = plots.plot_class_areas(table[["class", "area_m2"]])
    assert not plain.collections
    with pytest.raises(ReportError, match="lacks area_m2"):
        plots.plot_class_areas(table[["class"]])


def test_the_decay_shows_all_pairs_and_the_fit_over_its_spans():
    days = np.array([12, 12, 24, 36, 60, 96, 132.0])
    rock, bush = 0.9 * np.exp(-days / 900), 0.2 + 0.5 * np.exp(-days / 30)
    fits = {"rock": fit_decay(days[[0, 1, 2, 3, 4]], rock[:5]), "bush": fit_decay(days, bush)}
    ax = plots.plot_decay(days, {"rock": rock, "bush": bush}, fits)
    points = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(points[0].get_ydata(), rock)
    np.testing.assert_allclose(points[1].get_xdata(), days, atol=1.5)
    assert len({line.get_marker() for line in points}) == 2
    curves = [line for line in ax.get_lines() if line.get_linestyle() != "None"]
    assert curves[0].get_xdata().max() == 60
    np.testing.assert_allclose(curves[1].get_ydata(), 0.2 + 0.5 * np.exp(-curves[1].get_xdata() / 30), atol=1e-4)
    assert len({line.get_linestyle() for line in curves}) == 2
    assert "bush: 0.54 to 0.21 over 12 to 132 days; time constant 30 ± 0 days" in curves[1].get_label()
    with pytest.raises(ReportError, match="another number of values"):
        plots.plot_decay(days, {"rock": rock[:3]})
    with pytest.raises(ReportError, match="5 kinds of ground"):
        plots.plot_decay(days, dict.fromkeys("abcde", rock))


def test_the_loss_with_the_baseline_is_drawn_without_the_sign():
    baseline = np.array([-200.0, -100, 50, 150, np.nan, 250])
    steep = 0.9 * np.exp(-2.7e-6 * np.nan_to_num(baseline) ** 2)
    fit = fit_baseline(baseline, steep)
    ax = plots.plot_baseline_loss(baseline, {"steep": steep}, {"steep": fit})
    points, curve = ax.get_lines()
    np.testing.assert_array_equal(points.get_xdata(), np.abs(baseline))
    assert curve.get_ydata()[-1] == pytest.approx(0.9 * np.exp(-2.7e-6 * 250**2), rel=1e-6)
    assert curve.get_label() == "steep: 15.5 % lost at 250 m"
    with pytest.raises(ReportError, match="no baseline is known"):
        plots.plot_baseline_loss(np.full(6, np.nan), {"steep": steep})


def test_every_rejected_scene_has_a_number_and_its_reason(content):
    scenes = content.scenes.assign(explanation="")
    rejected = np.flatnonzero(~scenes["kept"])
    scenes.loc[rejected[0], "explanation"] = "98 % of the stable set lost; snow_cm 12 on 2021-01-17"
    ax = plots.plot_rejections(scenes)
    numbers = [text for text in texts(ax) if text.isdigit()]
    assert numbers == [str(number) for number in range(1, len(rejected) + 1)]
    (below,) = [text for text in texts(ax) if "stable set lost" in text]
    for number, place in enumerate(rejected, start=1):
        assert f"{number}   {scenes['pair'][place]}: {scenes['reason'][place]}" in below
    many = scenes.assign(kept=np.arange(len(scenes)) > 20, reason="stable mean 0.5 < 0.8", explanation="")
    assert "and 7 more, in scenes.csv" in next(text for text in texts(plots.plot_rejections(many)) if "more" in text)
    kept = plots.plot_rejections(scenes[scenes["kept"]])
    assert texts(kept) == []
    with pytest.raises(ReportError, match="empty"):
        plots.plot_rejections(scenes.iloc[:0])


def test_nothing_is_cut_off_when_saved(content):
    """The reasons stand below the axes and within the picture, for the longest list: its rim stays white."""
    scenes = content.scenes.assign(kept=False, explanation="a long story " * 12)
    canvas = FigureCanvasAgg(figure_of(plots.plot_rejections(scenes)))
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    for rim in (picture[-1], picture[:, 0], picture[:, -1]):
        assert (rim == 255).all()
    # and the last line of the list lies just above it
    assert (picture[-25:] < 128).any()


def test_a_map_of_dates_runs_from_the_first_to_the_last_day(content):
    frame_like = content.analysis.stable
    days = np.full(frame_like.shape, np.datetime64("NaT", "ns"))
    days[10, 10:20] = np.datetime64("2021-03-01")
    days[12, 10:20] = np.datetime64("2022-03-01")
    layer = frame_like.copy(data=days)
    ax = plots.plot_active_date(layer, content.mine)
    (image,) = ax.get_images()
    # cells without a date have no colour; the others lie at the ends of the scale
    values = np.ma.filled(image.get_array().astype(float), np.nan)
    assert np.isfinite(values).sum() == 20
    assert image.get_clim() == (np.nanmin(values), np.nanmax(values))
    assert values[10, 10] + 365 == values[12, 10]
    bar = figure_of(ax).axes[-1]
    labels = [text.get_text() for text in bar.get_xticklabels()]
    assert labels[0] == "1 Mar\n2021"
    assert labels[-1] == "1 Mar\n2022"
    wide = plots.plot_active_date(layer, content.mine, period=("2021-01-01", "2023-01-01"))
    assert wide.get_images()[0].get_clim()[0] == values[10, 10] - 59
    with pytest.raises(ReportError, match="no cell has a date"):
        plots.plot_active_date(layer.copy(data=np.full(layer.shape, np.datetime64("NaT", "ns"))), content.mine)


def test_starts_and_stops_of_zones_are_bars_and_dots():
    zones = pd.DataFrame(
        {
            "zone": ["pit", "pit", "tailings_dam"],
            "start": pd.to_datetime(["2021-01-04", "2021-06-01", "2021-01-04"]),
            "stop": pd.to_datetime(["2021-06-01", "2022-01-01", "2022-01-01"]),
            "share": [0.6, 0.01, 0.1],
            "worked": [True, False, True],
        }
    )
    # a large polygon of which little is worked does not say 0 %
    few = plots.plot_zone_activity(zones.assign(share=[0.046, 0.0, 0.0032]))
    assert texts(few) == ["4.6 %", "0.32 %"]
    ax = plots.plot_zone_activity(zones)
    much, little = ax.patches
    assert much.get_height() > little.get_height() > 0
    # darker where more is disturbed, so that grey tells it as well
    grey = [np.dot(bar.get_facecolor()[:3], (0.299, 0.587, 0.114)) for bar in (much, little)]
    assert grey[0] < grey[1] - 0.2
    assert much.get_width() == 148
    assert texts(ax) == ["60 %", "10 %"]
    (idle,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert list(idle.get_ydata()) == [0, 0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["pit", "tailings dam"]
    with pytest.raises(ReportError, match="no zone to draw"):
        plots.plot_zone_activity(zones[:0])
