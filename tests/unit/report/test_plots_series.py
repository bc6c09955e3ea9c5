"""Series: the points that are drawn are the rows of the tables."""

from __future__ import annotations

import itertools

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from insar_mining.errors import ReportError
from insar_mining.report import plots
from insar_mining.report.plots_series import kept_mask, pair_dates


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_baselines_are_drawn_at_the_middle_of_each_pair(content):
    rejected = content.scenes["pair"][~content.scenes["kept"]]
    ax = plots.plot_baselines(content.pair_table, rejected=rejected, limit_m=250)
    kept = content.scenes["kept"].to_numpy()
    used, dropped = lines(ax)["pair used"], lines(ax)["pair rejected"]
    baseline = content.pair_table["perpendicular_baseline_m"].to_numpy()
    np.testing.assert_array_equal(used.get_ydata(), baseline[kept])
    np.testing.assert_array_equal(dropped.get_ydata(), baseline[~kept])
    first = content.pair_table["reference_date"].to_numpy("datetime64[D]")[kept]
    second = content.pair_table["secondary_date"].to_numpy("datetime64[D]")[kept]
    drawn = used.get_xdata().astype("datetime64[D]")
    assert ((drawn >= first) & (drawn <= second)).all()
    assert np.abs((drawn - first) - (second - drawn)).max() <= np.timedelta64(1, "D")
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([bar[0, 0] for bar in bars], mdates.date2num(first))
    np.testing.assert_allclose([bar[1, 0] for bar in bars], mdates.date2num(second))
    limits = sorted(line.get_ydata()[0] for line in ax.get_lines() if "limit" in line.get_label())
    assert limits == [-250, 250]
    assert ax.get_ylim()[0] < -250
    assert ax.get_ylim()[1] > 250
    assert used.get_marker() != dropped.get_marker(), "told apart without colours"


def test_an_unknown_baseline_is_not_drawn_as_zero(content):
    pairs = content.pair_table.copy()
    pairs.loc[[0, 5], "perpendicular_baseline_m"] = np.nan
    drawn = lines(plots.plot_baselines(pairs))["pair used"].get_ydata()
    assert len(drawn) == len(pairs) - 2
    assert np.isfinite(drawn).all()


def test_the_calendar_puts_every_image_on_its_day(content):
    ax = plots.plot_acquisitions(content.scenes)
    points = {
        (int(year), int(day))
        for line in ax.get_lines()
        for day, year in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    dates = {date for pair in content.scenes["pair"] for date in pair.split("_")}
    stamps = pd.to_datetime(sorted(dates))
    assert points == {(stamp.year, stamp.day_of_year - 1) for stamp in stamps}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2021", "2022", "2023"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first year is on top"


def test_images_that_only_rejected_pairs_use_are_crosses():
    scenes = pd.DataFrame({"pair": ["20201220_20210101", "20210101_20210113"], "kept": [False, True]})
    ax = plots.plot_acquisitions(scenes)
    assert lines(ax)["image only in rejected pairs"].get_xdata().tolist() == [354]
    assert lines(ax)["image used"].get_xdata().tolist() == [0, 12]
    # the pair across New Year ends with its year and goes on in the next
    rejected = ax.collections[1].get_segments()
    assert [[tuple(end) for end in bar] for bar in rejected] == [
        [(354.0, 2020.0), (366.0, 2020.0)],
        [(0.0, 2021.0), (0.0, 2021.0)],
    ]


def test_the_scene_test_shows_values_thresholds_and_rejections(content):
    mean, sd = plots.plot_scene_quality(content.scenes, mean_min=0.77, sd_max=0.21)
    kept = content.scenes["kept"].to_numpy()
    for ax, column, limit in ((mean, "stable_mean", 0.77), (sd, "stable_sd", 0.21)):
        values = content.scenes[column].to_numpy()
        np.testing.assert_array_equal(lines(ax)["kept"].get_ydata(), values[kept])
        np.testing.assert_array_equal(lines(ax)["rejected"].get_ydata(), values[~kept])
        assert lines(ax)["threshold"].get_ydata() == [limit, limit]
    assert {text.get_text() for text in sd.get_legend().get_texts()} == {"kept", "rejected", "threshold"}


def test_scenes_without_a_value_are_left_out(content):
    scenes = content.scenes.assign(stable_mean=np.nan)
    mean, _ = plots.plot_scene_quality(scenes)
    assert "kept" not in lines(mean)


def test_areas_are_bars_in_square_kilometres_with_intervals_and_parity(content):
    ax = plots.plot_areas(content.analysis.activity)
    table = content.analysis.activity
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, table["area_m2"] / 1e6)
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    np.testing.assert_allclose(centres, table["year"])
    segments = ax.containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose([s[0, 1] for s in segments], table["area_low_m2"] / 1e6)
    np.testing.assert_allclose([s[1, 1] for s in segments], table["area_high_m2"] / 1e6)
    (nominal,) = [line for line in ax.get_lines() if line.get_marker() == "D"]
    np.testing.assert_allclose(nominal.get_ydata(), table["area_nominal_m2"] / 1e6)
    assert "parity only" in nominal.get_label()
    assert ax.get_ylim()[0] == 0.0


def test_the_default_method_shows_no_area_of_the_published_convention(content):
    ax = plots.plot_areas(content.analysis.activity.assign(method="significant"))
    assert not [line for line in ax.get_lines() if line.get_marker() == "D"]


def test_areas_without_an_interval_have_no_error_bar(content):
    table = content.analysis.activity.assign(area_low_m2=np.nan, area_high_m2=np.nan)
    ax = plots.plot_areas(table)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "active area",
        "at 100 m² per cell (published convention, for parity only)",
    ]


def test_an_interval_that_does_not_hold_the_estimate_is_drawn_as_it_is(content):
    table = content.analysis.activity.assign(area_low_m2=3e6, area_high_m2=4e6)
    (first, *_) = plots.plot_areas(table).containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose(first[:, 1], [3.0, 4.0])


def test_two_methods_stand_beside_each_other(content):
    both = pd.concat([content.analysis.activity, content.analysis.activity.assign(method="significant", area_m2=1e6)])
    ax = plots.plot_areas(both)
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert len(spans) == 6
    assert all(end <= start + 1e-9 for (_, end), (start, _) in itertools.pairwise(spans))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "active area, significant method" in texts


def test_one_year_is_one_labelled_tick(content):
    ax = plots.plot_areas(content.analysis.activity.iloc[:1])
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2021"]


def test_series_draw_into_given_axes(content):
    figure = Figure()
    axes = figure.subplots(2, 2)
    assert plots.plot_baselines(content.pair_table, axes[0, 0]) is axes[0, 0]
    assert plots.plot_areas(content.analysis.activity, axes[0, 1]) is axes[0, 1]
    given = (axes[1, 0], axes[1, 1])
    assert plots.plot_scene_quality(content.scenes, given) == given


@pytest.mark.parametrize("name", ["20210101", "20210101_2021010", "20211301_20220101", "a_b", "2021-01-01_20210113"])
def test_a_pair_that_is_not_two_dates_is_named(name):
    with pytest.raises(ReportError, match=name):
        pair_dates([name])


def test_what_a_table_lacks_is_named(content):
    with pytest.raises(ReportError, match="stable_sd"):
        plots.plot_scene_quality(content.scenes.drop(columns="stable_sd"))
    with pytest.raises(ReportError, match="empty"):
        plots.plot_acquisitions(content.scenes.iloc[:0])


def test_kept_is_read_from_text_too():
    table = pd.DataFrame({"kept": ["True", "False", "true"]})
    assert kept_mask(table).tolist() == [True, False, True]
    with pytest.raises(ReportError, match="maybe"):
        kept_mask(pd.DataFrame({"kept": ["maybe"]}))
