"""Composite, its legend, classes and the comparison with a truth."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from insar_mining.errors import ReportError
from insar_mining.report import plots
from insar_mining.report.plots_classes import (
    FOUND_COLOURS,
    YEARS_OF_COLOUR,
    class_colours,
    class_flags,
    describe_class,
)


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_composite_is_drawn_as_it_is_with_no_data_transparent(content):
    (image,) = plots.plot_rgb(content.rgb, content.mine).get_images()
    drawn = image.get_array()
    np.testing.assert_array_equal(drawn[:3, :3, 3], 0.0)
    np.testing.assert_allclose(drawn[3:, 3:, :3], np.moveaxis(content.rgb.values, 0, -1)[3:, 3:], rtol=1e-6)
    assert (drawn[3:, 3:, 3] == 1.0).all()
    assert image.get_interpolation() == "nearest"


def test_a_composite_of_two_bands_is_named(content):
    with pytest.raises(ReportError, match="band: 3"):
        plots.plot_rgb(content.rgb.isel(band=slice(2)), content.mine)


def test_the_legend_stands_every_name_on_the_colour_that_it_names():
    ax = plots.plot_rgb_legend((2021, 2022, 2023))
    (image,) = ax.get_images()
    picture = image.get_array()
    left, right, bottom, top = image.get_extent()
    seen = set()
    for text in ax.texts:
        name, *years = text.get_text().split("\n")
        x, y = text.get_position()
        row = int((top - y) / (top - bottom) * picture.shape[0])
        column = int((x - left) / (right - left) * picture.shape[1])
        light = tuple(int(band) for band in picture[row, column])
        assert light == tuple(int(band in YEARS_OF_COLOUR[name]) for band in range(3)), name
        said = {int(word) for word in " ".join(years).replace("+", " ").split() if word.isdigit()}
        if 0 < len(YEARS_OF_COLOUR[name]) < 3:
            assert said == {2021 + member for member in YEARS_OF_COLOUR[name]}
        seen.add(name)
    assert seen == set(YEARS_OF_COLOUR)


def test_names_of_the_eight_colours_are_how_light_mixes():
    for name, members in YEARS_OF_COLOUR.items():
        pure = to_rgb({"green": "lime"}.get(name, name))
        assert pure == tuple(float(band in members) for band in range(3))


def test_classes_are_drawn_by_place_and_counted_in_the_legend(content):
    ax = plots.plot_classes(content.classes, content.mine)
    (image,) = ax.get_images()
    drawn = image.get_array()
    values = content.classes.values
    assert drawn.mask[:3, :3].all()
    np.testing.assert_array_equal(drawn.filled(255), values)
    flags = class_flags(content.classes)
    colours = class_colours(flags)
    for value in flags:
        cells = (values == value) & ~drawn.mask
        if cells.any():
            rgba = image.to_rgba(drawn)[cells][0]
            assert tuple(rgba[:3]) == pytest.approx(to_rgb(colours[value]))
    texts = legend_texts(ax)
    assert texts[flags_place(flags, "cyan")] == (f"cyan: active in 2022 and 2023 ({np.count_nonzero(values == 5):,})")
    assert texts[-1] == "no data"


def flags_place(flags, name):
    return list(flags.values()).index(name)


def test_classes_of_bits_and_capitals_are_understood(content):
    """As `classify` writes them: one bit per year, capital names, 255 without data."""
    bits = content.classes.copy(data=np.resize(np.arange(9, dtype=np.uint8), content.classes.shape))
    names = ("Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White")
    bits = bits.assign_attrs(flag_meanings=" ".join(names))
    flags = class_flags(bits)
    for value, name in flags.items():
        years = [2021 + bit for bit in range(3) if value >> bit & 1]
        words = describe_class(name, (2021, 2022, 2023))
        for year in (2021, 2022, 2023):
            if 0 < len(years) < 3:
                assert (str(year) in words) == (year in years)
    drawn = plots.plot_classes(bits, content.mine).get_images()[0].get_array()
    np.testing.assert_array_equal(drawn.mask, bits.values == 8)


def test_classes_of_other_names_get_distinct_colours(content):
    other = content.classes.assign_attrs(flag_values=[0, 1, 2], flag_meanings=["inactive", "haul_road", "tail$ings"])
    colours = class_colours(class_flags(other))
    assert len(set(colours.values())) == 3
    ax = plots.plot_classes(other, content.mine)
    ax.figure.canvas.draw()
    assert legend_texts(ax)[1].startswith("haul_road: haul road (")


def test_flags_that_do_not_match_are_named(content):
    with pytest.raises(ReportError, match="flag_values and flag_meanings"):
        class_flags(content.classes.drop_attrs())
    with pytest.raises(ReportError, match="8 flag_values but 2 flag_meanings"):
        class_flags(content.classes.assign_attrs(flag_meanings="a b"))


def test_bands_show_each_class_by_itself(content):
    figure = plots.plot_class_bands(content.classes, content.mine)
    assert len(figure.axes) == 8
    for ax, (value, name) in zip(figure.axes, class_flags(content.classes).items(), strict=True):
        drawn = ax.get_images()[0].get_array()
        np.testing.assert_array_equal(drawn.filled(0) == 1, content.classes.values == value)
        assert drawn.mask.sum() == 9
        assert ax.get_title(loc="left").startswith(name.capitalize())
    with pytest.raises(ReportError, match="class 77"):
        plots.plot_class_band(content.classes, content.mine, 77)


def test_the_comparison_counts_hits_misses_and_false_finds(content, make_truth):
    compared = make_truth(content)["comparison"]
    found = compared.found.sel(year=2022).astype(float)
    truth = compared.truth.sel(year=2022)
    found[dict(y=0)] = np.nan
    ax = plots.plot_found_and_truth(found, truth, content.mine, 2022)
    known = np.isfinite(found.values)
    a, b = found.values == 1, truth.values.astype(bool)
    counts = [(a & b & known).sum(), (~a & b & known).sum(), (a & ~b & known).sum(), (~a & ~b & known).sum()]
    assert legend_texts(ax) == [f"{label} ({n:,})" for label, n in zip(FOUND_COLOURS, counts, strict=True)]
    assert ax.get_images()[0].get_array().mask.sum() == (~known).sum()


def test_the_colours_of_the_comparison_differ_in_grey():
    greys = sorted(float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722))) for colour in FOUND_COLOURS.values())
    assert np.diff(greys).min() > 0.15
