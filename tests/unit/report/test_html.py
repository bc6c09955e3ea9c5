"""The report as a file: whole, self-contained, escaped, and with the numbers that went in."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from PIL import Image

from insar_mining import activity
from insar_mining.activity.analysis import Comparison
from insar_mining.errors import OutputError, ReportError
from insar_mining.report import render_report, write_report

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements with attributes, text by element, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[tuple[str, dict[str, str | None]]]]] = {}
        self.caption = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr" and self.caption:
            self.tables[self.caption].append([])
        if tag in ("td", "th") and self.caption:
            self.tables[self.caption][-1].append(("", dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.caption = ""

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))
        if self.open and self.open[-1] == "caption":
            self.caption = data
            self.tables[data] = []
        elif self.caption and {"td", "th"} & set(self.open):
            cell, attrs = self.tables[self.caption][-1][-1]
            self.tables[self.caption][-1][-1] = (cell + data, attrs)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def words(self):
        return " ".join("".join(data for tag, data in self.text if tag not in ("style", "script")).split())

    def ids(self):
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]

    def column(self, caption, name):
        return [float(attrs[name]) for row in self.tables[caption] for _, attrs in row if name in attrs]


@pytest.fixture(scope="module")
def html(content) -> str:
    return render_report(content)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_all_sections_are_there_and_linked(page):
    expected = [
        "headline",
        "areas",
        "explore",
        "place",
        "images",
        "stable",
        "annual",
        "composite",
        "classes",
        "caveats",
    ]
    sections = [name for name in page.ids() if not name.startswith("explore-")]
    assert sections == [*expected, "skipped", "made"]
    links = [attrs["href"] for attrs in page.all("a") if attrs["href"].startswith("#")]
    assert links == [f"#{name}" for name in sections[1:]]


def assert_only_own_script(html: str, page: Page) -> None:
    """The page holds its data and one script, and its policy runs nothing but that script."""
    data, script = page.all("script")
    assert data == {"type": "application/json", "id": "explore-data"}
    assert script == {}
    text = html[html.rindex("<script>") + len("<script>") : html.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    (policy,) = [attrs for attrs in page.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")
    assert policy["content"].endswith(f"script-src 'sha256-{digest}'")


def test_nothing_is_loaded_from_elsewhere(html, page):
    assert_only_own_script(html, page)
    assert page.all("link") == []
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            value = attrs.get(name) or ""
            assert value == "" or value.startswith(("data:image/", "data:text/csv;base64,", "#"))
        assert not any(name.startswith("on") for name in attrs), "no event handlers"
        assert "url(" not in (attrs.get("style") or "")
    style = "".join(data for tag, data in page.text if tag == "style")
    assert "@import" not in style
    assert "url(" not in style
    assert "http://" not in html
    assert "https://" not in html


def test_every_image_has_a_text_of_its_own_and_a_size(page):
    images = page.all("img")
    alts = [attrs["alt"] for attrs in images]
    # areas, mine, calendar, baselines, quality, stable, 3 years, composite and legend, classes and 8 bands,
    # reasons of rejections and areas of the classes, what time and the baseline take
    assert len(images) == 24
    assert all(len(alt) > 20 for alt in alts)
    assert len(set(alts)) == len(alts)
    assert all(int(attrs["width"]) > 50 and int(attrs["height"]) > 50 for attrs in images)


def test_images_are_whole_and_of_the_size_they_say(page):
    for attrs in page.all("img"):
        kind, data = re.fullmatch(r"data:image/(png|svg\+xml);base64,(.*)", attrs["src"]).groups()
        raw = base64.b64decode(data, validate=True)
        if kind == "png":
            image = Image.open(io.BytesIO(raw))
            image.load()
            assert image.width / image.height == pytest.approx(int(attrs["width"]) / int(attrs["height"]), rel=0.02)
        else:
            assert raw.lstrip().startswith(b"<?xml")
            assert b"<script" not in raw
            assert not re.search(rb'(?:href|src)="(?!#)', raw), "an image must not load another"


def test_every_table_has_a_caption_and_headings_have_a_scope(page):
    assert len(page.all("table")) == len(page.all("caption")) == len(page.tables)
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))


def test_the_table_of_areas_holds_the_inputs(content, page):
    caption = "Active area per year"
    assert page.column(caption, "data-area-m2") == content.analysis.activity["area_m2"].tolist()
    header, *rows = [[text for text, _ in row] for row in page.tables[caption]]
    assert not any("parity" in name for name in header)
    for row, given in zip(rows, content.analysis.activity.to_dict("records"), strict=True):
        assert row[0] == str(given["year"])
        assert float(row[1]) == pytest.approx(given["area_m2"] / 1e6, rel=1e-3)
        low, high = (float(text) for text in row[2].split(" to "))
        assert low == pytest.approx(given["area_low_m2"] / 1e6, rel=1e-3)
        assert high == pytest.approx(given["area_high_m2"] / 1e6, rel=1e-3)
        assert row[5:8] == [f"{given['active_pixels']:,}", f"{given['n_pixels']:,}", str(given["n_pairs"])]
    assert rows[0][3] == ""
    first, second = content.analysis.activity["area_m2"].iloc[:2]
    assert float(rows[1][3].rstrip(" %").replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        100 * (second / first - 1), abs=0.05
    )


def test_the_headline_tells_the_last_year_and_its_change(content, page):
    words = page.words()
    last, before = content.analysis.activity["area_m2"].iloc[-1], content.analysis.activity["area_m2"].iloc[-2]
    assert f"In 2023, {last / 1e6:.5f} km² of ground was active" in words
    share = 100 * last / content.mine.area_m2()
    assert f"{share:.0f} % of the outline" in words
    assert f"{100 * abs(last - before) / before:.1f} % {'more' if last > before else 'less'} than in 2022" in words
    assert "1 January 2021 to 31 December 2023" in words


def test_rejected_pairs_and_their_reasons_are_listed(content, page):
    rejected = content.scenes[~content.scenes["kept"]]
    baselines = content.pair_table.set_index("pair")["perpendicular_baseline_m"]
    rows = [[text for text, _ in row] for row in page.tables["Rejected pairs"][1:]]
    assert [row[0] for row in rows] == rejected["pair"].tolist()
    assert [row[5] for row in rows] == rejected["reason"].tolist()
    assert [float(row[3]) for row in rows] == pytest.approx(rejected["stable_mean"].tolist(), abs=5e-4)
    drawn = [float(row[2].replace("\N{MINUS SIGN}", "-")) for row in rows]
    assert drawn == pytest.approx(baselines[rejected["pair"]].tolist(), abs=0.05)
    (never,) = page.tables["Pairs that were never formed"][1:]
    assert [text for text, _ in never] == ["20210410_20210504", "|B| = 312 m exceeds 250 m"]
    everything = page.tables["All pairs, with their coherence over the stable points"]
    assert len(everything) == 1 + len(content.scenes)
    assert sum(row[1][0] == "no" for row in everything) == len(rejected)


def test_the_table_of_classes_counts_the_cells(content, page):
    counts = [int((content.classes.values == value).sum()) for value in range(8)]
    assert page.column("Classes", "data-cells") == counts
    areas = [float(row[-1][0]) for row in page.tables["Classes"][1:]]
    assert areas == pytest.approx([400.0 * count / 1e6 for count in counts], abs=5e-5)
    swatches = [attrs["style"] for attrs in page.all("span") if attrs.get("class") == "swatch"]
    assert len(set(swatches)) == 8


@pytest.mark.usefixtures("undrawn")
def test_cell_areas_that_change_with_latitude_are_summed_by_row(make_content):
    made = make_content()
    by_row = np.linspace(300.0, 500.0, made.analysis.coh.sizes["y"])
    coh = made.analysis.coh.assign_coords(cell_area_m2=("y", by_row)).drop_attrs().assign_attrs(made.analysis.coh.attrs)
    page = Page(render_report(make_content(coh=coh)))
    expected = [((made.classes.values == value) * by_row[:, None]).sum() / 1e6 for value in range(8)]
    assert [float(row[-1][0]) for row in page.tables["Classes"][1:]] == pytest.approx(expected, abs=5e-5)


def test_how_it_was_made_is_all_there(content, page):
    assert page.all("details")
    pre = "".join(data for tag, data in page.text if tag == "pre")
    assert yaml.safe_load(pre) == dict(content.run)
    rows = {row[0][0]: row[1][0] for row in page.tables["Engine, versions and inputs"]}
    assert rows["engine"] == "builtin"
    assert rows["versions.numpy"] == np.__version__
    assert rows["inputs"] == "scene-1, scene-2"
    assert {row[0][0]: row[1][0] for row in page.tables["Options of this run"]}["window"] == "2x7"


def test_notes_and_skipped_inputs_are_shown(page):
    assert "The winter of 2022 has few images." in page.words()
    assert [text for text, _ in page.tables["Inputs that were left out"][1]] == [
        "dem.tif",
        "has no two dates in its name",
    ]
    assert "judged against the other years" in page.words(), "the published method's own caveat"


def test_real_data_do_not_claim_to_be_simulated(page):
    assert "imulated" not in page.words()
    assert "Contains modified Copernicus Sentinel data 2021\N{EN DASH}2023" in page.words()


@pytest.mark.usefixtures("undrawn")
def test_simulated_data_are_named_first_and_compared_with_the_truth(make_content, make_truth):
    compared = make_truth(make_content())["comparison"]
    table = pd.DataFrame(
        {"year": [2021, 2022, 2023], "truth_area_m2": [1e5, 0.0, 5e4], "found_area_m2": [1.1e5, 4e3, 4e4]}
    )
    page = Page(render_report(make_content(comparison=dataclasses.replace(compared, table=table))))
    words = page.words()
    assert words.index("Simulated data") < words.index("km²"), "before any number"
    assert next(data for tag, data in page.text if tag == "title").startswith("Simulated")
    assert "Copernicus" not in words
    caption = "Active area, simulated and found"
    assert page.column(caption, "data-truth-m2") == [1e5, 0.0, 5e4]
    assert page.column(caption, "data-found-m2") == [1.1e5, 4e3, 4e4]
    rows = [[text for text, _ in row] for row in page.tables[caption][1:]]
    assert [row[4] for row in rows] == ["+10.0 %", "from none", "\N{MINUS SIGN}20.0 %"]
    assert [float(row[3].replace("\N{MINUS SIGN}", "-")) for row in rows] == [0.01, 0.004, -0.01]
    alts = [attrs["alt"] for attrs in page.all("img") if "missed" in attrs["alt"]]
    assert len(alts) == 3


@pytest.mark.usefixtures("undrawn")
def test_names_and_reasons_of_others_are_harmless(make_content):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> $\\frac{"
    scenes = make_content().scenes.assign(reason=evil)
    made = make_content(
        name=evil,
        scenes=scenes,
        notes=[evil],
        skipped=[{"what": evil, "reason": evil}],
        rejected_pairs=[{"pair": evil, "reason": evil}],
        run={"engine": evil, "options": {evil: evil}},
        classes=None,
        rgb=None,
        years=(2023,),
    )
    text = render_report(made)
    page = Page(text)
    assert_only_own_script(text, page)
    assert all(attrs["src"].startswith("data:") for attrs in page.all("img"))
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert "".join(data for tag, data in page.text if tag == "bdi").startswith(evil)
    assert any(evil in attrs["alt"] for attrs in page.all("img"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["Žezqazğan", "露天矿 № 3", "منجم", "half \ud83d a character"])
def test_any_script_of_the_world_can_name_a_mine(tmp_path, make_content, name):
    path = write_report(tmp_path / "r.html", make_content(name=name, years=(2023,), shape=(24, 24)))
    text = path.read_bytes().decode("utf-8", errors="strict")
    assert name.encode("utf-8", "replace").decode() in text


@pytest.mark.usefixtures("undrawn")
def test_few_years_leave_out_the_composite_in_one_sentence(make_content):
    page = Page(render_report(make_content(years=(2022, 2023))))
    assert "classes" not in page.ids()
    assert "#classes" not in [attrs["href"] for attrs in page.all("a")]
    sentence = (
        "The three-year colour composite and the activity classes are left out: they compare three years, and these "
        "images cover 2 years (2022 and 2023)."
    )
    assert page.words().count(sentence) == 1
    assert "Classes" not in page.tables


@pytest.mark.usefixtures("undrawn")
def test_years_without_an_area_are_said_not_drawn(make_content):
    """What the published rule gives for fewer than three years: rows whose areas are missing."""
    base = make_content(years=(2023,))
    unknown = base.analysis.activity.assign(
        area_m2=np.nan,
        area_low_m2=np.nan,
        area_high_m2=np.nan,
        area_nominal_m2=np.nan,
        active_pixels=pd.array([pd.NA], dtype="Int64"),
    )
    page = Page(render_report(make_content(years=(2023,), activity=unknown)))
    assert "the published method compares three years, and these images cover 2023 only" in page.words()
    assert "not determined" in page.words()
    assert "nan" not in page.words().lower().split()
    assert not any("Bar chart" in attrs["alt"] for attrs in page.all("img"))


@pytest.mark.usefixtures("undrawn")
def test_no_baselines_is_a_plain_sentence(make_content):
    page = Page(render_report(make_content(years=(2023,), pairs=None)))
    assert "The perpendicular baselines are not known" in page.words()
    assert not any("baseline" in attrs["alt"] for attrs in page.all("img"))


@pytest.mark.usefixtures("undrawn")
def test_some_unknown_baselines_are_counted(make_content):
    pairs = make_content(years=(2023,)).pair_table.copy()
    pairs.loc[:2, "perpendicular_baseline_m"] = np.nan
    page = Page(render_report(make_content(years=(2023,), pairs=pairs)))
    assert "The baseline of 3 pairs is not known; unknown baselines are not drawn." in page.words()


@pytest.mark.usefixtures("undrawn")
def test_baselines_that_came_with_the_stack_are_used(make_content):
    base = make_content(years=(2023,))
    on_pair = {
        "reference_date": base.pair_table["reference_date"],
        "secondary_date": base.pair_table["secondary_date"],
        "days": base.pair_table["days"],
        "perpendicular_baseline_m": base.pair_table["perpendicular_baseline_m"],
    }
    coh = base.analysis.coh.assign_coords({name: ("pair", np.asarray(values)) for name, values in on_pair.items()})
    page = Page(render_report(make_content(years=(2023,), pairs=None, coh=coh)))
    assert any("Perpendicular baseline of 12 pairs" in attrs["alt"] for attrs in page.all("img"))


@pytest.mark.usefixtures("undrawn")
def test_nothing_rejected_nothing_skipped_nothing_stable(make_content):
    base = make_content(years=(2023,))
    page = Page(
        render_report(
            make_content(
                years=(2023,),
                scenes=base.scenes.assign(kept=True, reason=None),
                stable=xr.zeros_like(base.analysis.stable),
                skipped=(),
                rejected_pairs=(),
            )
        )
    )
    words = page.words()
    assert "No pair was rejected." in words
    assert "No input was left out." in words
    assert "No stable point was found" in words
    assert "Rejected pairs" not in page.tables


@pytest.mark.usefixtures("undrawn")
def test_text_of_run_yaml_is_shown_as_it_is(make_content):
    text = "# Window of the coherence.\nwindow: 2x7\n\nmade_by:\n  engine: builtin\n"
    page = Page(render_report(make_content(years=(2023,), run=text)))
    assert "".join(data for tag, data in page.text if tag == "pre") == text
    assert {row[0][0]: row[1][0] for row in page.tables["Engine, versions and inputs"]} == {"engine": "builtin"}
    assert {row[0][0]: row[1][0] for row in page.tables["Options of this run"]} == {"window": "2x7"}


@pytest.mark.usefixtures("undrawn")
def test_the_same_content_gives_the_same_bytes(make_content):
    first, second = (render_report(make_content(years=(2023,), shape=(24, 24))) for _ in range(2))
    assert first == second


@pytest.mark.usefixtures("undrawn")
def test_the_callers_content_is_not_changed(make_content):
    made = make_content(years=(2023,), shape=(24, 24))
    before = [
        made.analysis.coh.copy(deep=True),
        made.analysis.annual.copy(deep=True),
        made.analysis.stable.copy(deep=True),
    ]
    tables = [made.analysis.activity.copy(), made.scenes.copy(), made.pair_table.copy()]
    render_report(made)
    for now, then in zip((made.analysis.coh, made.analysis.annual, made.analysis.stable), before, strict=True):
        xr.testing.assert_identical(now, then)
    for now, then in zip((made.analysis.activity, made.scenes, made.pair_table), tables, strict=True):
        pd.testing.assert_frame_equal(now, then)


@pytest.mark.slow
def test_a_large_mine_stays_below_five_megabytes(tmp_path, make_content):
    path = write_report(tmp_path / "report.html", make_content(shape=(500, 500), years=(2021, 2022, 2023)))
    assert 100_000 < path.stat().st_size < 5_000_000


@pytest.mark.usefixtures("undrawn")
def test_the_file_appears_whole_or_not_at_all(tmp_path, make_content, monkeypatch):
    path = tmp_path / "folder with spaces [ä]" / "report.html"
    content = make_content(years=(2023,), shape=(24, 24))
    assert write_report(path, content) == path
    before = path.read_bytes()
    assert before.endswith(b"</html>\n") or before.endswith(b"</html>")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(path, content)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def off_the_grid(content):
    """A truth whose map is a cell smaller."""
    active = content.analysis.annual > 0
    table = pd.DataFrame({"year": [2023], "truth_area_m2": [1.0], "found_area_m2": [1.0]})
    return Comparison(table, active, active.isel(x=slice(1, None)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"activity": c.analysis.activity.drop(columns="area_low_m2")}, "area_low_m2"),
        (lambda c: {"activity": pd.concat([c.analysis.activity, c.analysis.activity])}, "one row for each year"),
        (lambda c: {"method": "significant"}, "'significant'"),
        (lambda c: {"stable": c.analysis.stable.isel(x=slice(1, None))}, "stable does not lie on the grid"),
        (
            lambda c: {"annual": c.analysis.annual.assign_coords(y=c.analysis.annual["y"] + 20.0)},
            "annual does not lie on the grid",
        ),
        (lambda c: {"comparison": off_the_grid(c)}, "truth does not lie on the grid"),
        (lambda c: {"scenes": c.scenes.drop(columns="reason")}, "reason"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(make_content, change, message):
    base = make_content(years=(2023,), shape=(24, 24))
    parts = {"activity": base.analysis.activity, "method": "published", **change(base)}
    method = parts.pop("method")
    if method != "published":
        parts["activity"] = base.analysis.activity
    with pytest.raises(ReportError, match=message):
        make_content(years=(2023,), shape=(24, 24), method=method, **parts)


@pytest.mark.usefixtures("undrawn")
def test_what_the_activity_functions_return_can_be_reported_as_it_is(make_content):
    base = make_content()
    on_pair = {
        name: ("pair", base.pair_table[name].to_numpy())
        for name in ("reference_date", "secondary_date", "days", "perpendicular_baseline_m")
    }
    coh = base.analysis.coh.assign_coords(on_pair).assign_coords(
        cell_area_m2=400.0, year=("pair", base.pair_table["reference_date"].dt.year.to_numpy())
    )
    found = activity.iterate_stable(coh, 0.8, 0.2)
    annual = activity.annual_ndai(activity.ndai(found.kept, found.stable))
    rgb = activity.rgb_composite(annual)
    classes = activity.classify(rgb)
    table = activity.activity_table(classes, mine_id=base.mine.id)
    made = make_content(
        coh=coh,
        stable=found.stable,
        scenes=found.table,
        annual=annual,
        rgb=rgb,
        classes=classes,
        activity=table,
        pairs=None,
    )
    page = Page(render_report(made))
    assert page.column("Active area per year", "data-area-m2") == table["area_m2"].tolist()
    assert page.column("Classes", "data-cells") == list(activity.class_counts(classes).values())
    # classes are bits: what each is said to mean must be the years that its bits stand for
    for value, row in enumerate(page.tables["Classes"][1:]):
        active = [2021 + bit for bit in range(3) if value >> bit & 1]
        if 0 < len(active) < 3:
            assert [int(year) for year in re.findall(r"20\d\d", row[1][0])] == active
    assert any("Perpendicular baseline of 38 pairs" in attrs["alt"] for attrs in page.all("img"))
