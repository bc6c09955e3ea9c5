"""Maps: the cells that are drawn are the cells that were given, on fixed scales."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from insar_mining.activity.cube.blocks import lazy_variable
from insar_mining.errors import ReportError
from insar_mining.report import plots
from insar_mining.report.frame import MapFrame


def test_mean_coherence_equals_numpy_and_does_not_depend_on_blocks(content):
    expected = np.nanmean(content.analysis.coh.values[:, 3:, 3:].astype(np.float64), axis=0)
    for rows in (1, 7, 512):
        mean = plots.mean_coherence(content.analysis.coh, rows)
        np.testing.assert_allclose(mean.values[3:, 3:], expected, rtol=1e-6)
        assert np.isnan(mean.values[:3, :3]).all()
    assert mean.attrs["crs"] == content.analysis.coh.attrs["crs"]


def test_mean_coherence_reads_one_pair_and_one_block_at_a_time(content):
    sizes = []

    def read(key):
        values = content.analysis.coh.values[key]
        sizes.append(values.size)
        return values

    lazy = content.analysis.coh.copy(
        data=lazy_variable(content.analysis.coh.dims, content.analysis.coh.shape, read)._data
    )
    mean = plots.mean_coherence(lazy, 16)
    assert max(sizes) == 16 * content.analysis.coh.sizes["x"]
    assert sum(sizes) == content.analysis.coh.size, "every value once"
    np.testing.assert_array_equal(mean, plots.mean_coherence(content.analysis.coh))


def test_the_map_of_the_mine_shows_the_coherence_from_0_to_1_and_the_outline(content):
    mean = plots.mean_coherence(content.analysis.coh)
    ax = plots.plot_mine(mean, content.mine)
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array().filled(np.nan), mean.values)
    assert image.get_clim() == (0.0, 1.0)
    assert image.get_interpolation() == "nearest"
    assert image.origin == "upper"
    frame = MapFrame.of(mean)
    assert tuple(image.get_extent()) == frame.extent_km
    assert (*ax.get_xlim(), *ax.get_ylim()) == frame.extent_km
    assert ax.get_aspect() == 1.0
    outline = [line for line in ax.get_lines() if line.get_gid() == "mine-outline"]
    assert len(outline) == 2, "the exterior and the hole"
    # the exterior's western edge is at 10 % of the width by construction
    assert outline[0].get_xdata().min() == pytest.approx(0.1 * frame.size_km[0], rel=1e-2)
    assert outline[0].get_ydata().max() == pytest.approx(0.93 * frame.size_km[1], rel=1e-2)


def test_cells_without_data_are_transparent_over_a_hatch(content):
    ax = plots.plot_mine(plots.mean_coherence(content.analysis.coh), content.mine)
    (image,) = ax.get_images()
    assert image.get_array().mask[:3, :3].all()
    assert image.cmap(np.ma.masked_all(1))[0][3] == 0.0
    assert ax.patch.get_hatch()


def test_a_raster_stored_south_up_is_drawn_north_up(content):
    mean = plots.mean_coherence(content.analysis.coh)
    (upright,) = plots.plot_mine(mean, content.mine).get_images()
    (turned,) = plots.plot_mine(mean.isel(y=slice(None, None, -1)), content.mine).get_images()
    np.testing.assert_array_equal(upright.get_array(), turned.get_array())


def test_stable_points_are_drawn_where_they_are_and_counted(content):
    ax = plots.plot_stable_points(content.analysis.stable, content.mine, plots.mean_coherence(content.analysis.coh))
    layer = ax.get_images()[-1].get_array()
    np.testing.assert_array_equal(layer[..., 3] > 0, content.analysis.stable.values)
    assert tuple(layer[content.analysis.stable.values][0]) == to_rgba("#0072b2")
    count = int(content.analysis.stable.values.sum())
    assert ax.get_legend().get_texts()[0].get_text() == f"stable points ({count:,} cells)"


def test_a_lone_stable_point_of_a_large_map_stays_visible(content):
    stable = np.zeros((1300, 1250), dtype=bool)
    stable[701, 333] = True
    big = xr.DataArray(
        stable,
        dims=("y", "x"),
        coords={"y": 3_520_000.0 - 20.0 * np.arange(1300), "x": 7e5 + 20.0 * np.arange(1250)},
        attrs={"crs": "EPSG:32629"},
    )
    layer = plots.plot_stable_points(big, content.mine).get_images()[-1].get_array()
    assert np.argwhere(layer[..., 3] > 0).tolist() == [[350, 166]]


def test_every_year_is_drawn_on_the_same_scale(content):
    figure = plots.plot_annual_ndai(content.analysis.annual, content.mine, ceiling=0.5)
    maps = [ax for ax in figure.axes if ax.get_images()]
    assert [ax.get_title(loc="left") for ax in maps] == ["2021", "2022", "2023"]
    for ax, year in zip(maps, content.years, strict=True):
        (image,) = ax.get_images()
        assert image.get_clim() == (0.0, 0.5)
        drawn = image.get_array().filled(np.nan)
        np.testing.assert_allclose(drawn, content.analysis.annual.sel(year=year).values.astype(np.float32))


@pytest.mark.parametrize("drawn", ["ndai", "duty", "date"])
def test_the_colours_of_maps_grow_monotonously_in_lightness(content, drawn):
    """Of the image itself: what its own scale makes of values from its low to its high end."""
    layer = content.analysis.annual.isel(year=0)
    if drawn == "ndai":
        ax = plots.plot_ndai_year(layer, content.mine, content.years[0])
    elif drawn == "duty":
        ax = plots.plot_duty_cycle(layer.copy(data=np.clip(layer.values, 0, 1)), content.mine)
    else:
        days = np.datetime64("2021-03-01", "D") + (100 * np.nan_to_num(layer.values)).astype("timedelta64[D]")
        ax = plots.plot_active_date(layer.copy(data=days.astype("datetime64[ns]")), content.mine)
    (image,) = ax.get_images()
    low, high = image.get_clim()
    assert high > low
    colours = image.to_rgba(np.ma.masked_invalid(np.linspace(low, high, 64)))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lightness = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 0.5


def test_plots_draw_into_given_axes_and_leave_pyplot_alone(content):
    figure = Figure()
    ax = figure.add_subplot()
    assert plots.plot_ndai_year(content.analysis.annual.isel(year=0), content.mine, 2021, ax) is ax
    assert ax.figure is figure
    assert pyplot.get_fignums() == []


def test_plots_can_be_made_in_threads(content):
    def draw(place):
        figure = plots.plot_ndai_year(
            content.analysis.annual.isel(year=place), content.mine, content.years[place]
        ).figure
        return figure.axes[0].get_images()[0].get_array().filled(-1)

    with ThreadPoolExecutor(3) as pool:
        drawn = list(pool.map(draw, range(3)))
    for place in range(3):
        np.testing.assert_array_equal(drawn[place], draw(place))


def test_the_callers_rasters_are_not_changed(content):
    before = content.analysis.annual.copy(deep=True)
    plots.plot_annual_ndai(content.analysis.annual, content.mine)
    xr.testing.assert_identical(content.analysis.annual, before)


def test_a_stack_instead_of_a_map_is_named(content):
    with pytest.raises(ReportError, match="select one layer"):
        plots.plot_mine(content.analysis.annual, content.mine)
    with pytest.raises(ReportError, match="empty"):
        plots.plot_annual_ndai(content.analysis.annual.isel(year=slice(0)), content.mine)
