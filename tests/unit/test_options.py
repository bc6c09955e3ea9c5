"""Options: bounds, faults in words, and the way to YAML and back."""

from __future__ import annotations

import datetime as dt
import inspect
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from insar_mining.activity import annual_ndai, classify, filter_scenes, open_stack, rgb_composite, stable_points
from insar_mining.coherence.plan.model import Window
from insar_mining.errors import OptionError
from insar_mining.options.activity import NOT_PUBLISHED, NOT_SIGNIFICANT
from insar_mining.options.models import (
    ENGINE_VARIABLE,
    PROVENANCE_KEY,
    ActivityOptions,
    AnalyseOptions,
    CoherenceOptions,
    PairOptions,
    RunOptions,
    default_of,
    fields_of,
    help_of,
    options_page,
    options_table,
    read_options,
    to_yaml,
)


def test_the_defaults_are_the_published_method() -> None:
    options = RunOptions()
    assert options.pairs.polarisation == "VV"
    assert options.pairs.max_perp_baseline_m == 250
    assert options.pairs.temporal_baseline_days == (12, 24)
    assert options.coherence.window == (2, 7)
    assert options.coherence.spacing_m == 20
    assert (options.activity.stable_mean_min, options.activity.stable_std_max) == (0.8, 0.2)
    assert options.activity.ceiling == 0.45


@pytest.mark.parametrize(
    ("section", "name", "value", "said"),
    [
        ("pairs", "max_perp_baseline_m", 0, "greater than 0"),
        ("pairs", "max_perp_baseline_m", float("nan"), "finite"),
        ("pairs", "polarisation", "XX", "'VV', 'VH', 'HH' or 'HV'"),
        ("pairs", "temporal_baseline_days", [12, 12], "names a span twice"),
        ("pairs", "temporal_baseline_days", [], "at least 1 item"),
        ("pairs", "exclude", ["2021-02-30"], "a date such as 2021-01-31"),
        ("pairs", "relative_orbit", 176, "less than or equal to 175"),
        ("coherence", "window", "2", "such as 2x7"),
        ("coherence", "window", "0x7", "greater than or equal to 1"),
        ("coherence", "spacing_m", 0.5, "greater than or equal to 1"),
        ("coherence", "swaths", ["IW4"], "'IW1', 'IW2' or 'IW3'"),
        ("activity", "stable_mean_min", 1.1, "less than or equal to 1"),
        ("activity", "ceiling", 0, "greater than 0"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_limit(section: str, name: str, value: object, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        RunOptions(**{section: {name: value}})
    assert f"option '{section}.{name}" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("values", "key", "meant"),
    [
        ({"pairs": {"max_perp_baseline": 3}}, "pairs.max_perp_baseline", "pairs.max_perp_baseline_m"),
        ({"coherence": {"windw": "2x7"}}, "coherence.windw", "coherence.window"),
        ({"max_perp_baseline_m": 3}, "max_perp_baseline_m", "pairs.max_perp_baseline_m"),
        ({"activity": {"window": "2x7"}}, "activity.window", "coherence.window"),
        ({"strat": "2021-01-01"}, "strat", "start"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(values: dict[str, object], key: str, meant: str) -> None:
    with pytest.raises(OptionError) as caught:
        RunOptions(**values)
    assert f"unknown option '{key}'; did you mean '{meant}'?" in str(caught.value)


@pytest.mark.parametrize("how", [{"engine": "snap"}, {"common_geometry": False}])
def test_a_stack_reference_that_would_be_ignored_is_refused(how: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"coherence\.stack_reference=2023-09-04 needs the engine builtin"):
        RunOptions(coherence={"stack_reference": "2023-09-04", **how})
    RunOptions(coherence={"stack_reference": "2023-09-04"})


FOREIGN = {
    "published": {
        "span_correction": True,
        "elevation": Path("dem.tif"),
        "incidence": Path("incidence.tif"),
        "black_below": 0.1,
        "black_sigma": 2.0,
        "white_saturation": 0.2,
    },
    "significant": {
        "false_discovery_rate": 0.05,
        "min_loss": 0.4,
        "interval_draws": 0,
        "land_cover": Path("cover.tif"),
    },
}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in FOREIGN.items() for name in names])
def test_an_option_of_the_other_method_is_refused(owner: str, name: str, tmp_path: Path) -> None:
    """What would be read and change nothing is told; the defaults, which every run.yaml names, are not."""
    assert set(NOT_SIGNIFICANT) == set(FOREIGN["published"])
    assert set(NOT_PUBLISHED) == set(FOREIGN["significant"])
    (other,) = set(FOREIGN) - {owner}
    value = FOREIGN[owner][name]
    needed = {"baseline_correction": True} if name == "elevation" else {}
    said = f"{name}={value}: of the {owner} method only, and method is '{other}'"
    with pytest.raises(OptionError) as caught:
        RunOptions(activity={"method": other, name: value, **needed})
    assert said in str(caught.value)
    assert f"activity.method {owner}, or leave {name} out" in str(caught.value)
    own = ActivityOptions(**{"method": owner, name: value, **needed})
    assert getattr(own, name) == value
    # the command line changes the method of an options file in this way
    with pytest.raises(OptionError, match=f"of the {owner} method only"):
        own.replace(method=other)
    silent = ActivityOptions(**{"method": other, name: getattr(ActivityOptions(), name)})
    file = tmp_path / "options.yaml"
    file.write_text(to_yaml(silent), encoding="utf-8")
    assert f"{name}:" in file.read_text("utf-8")
    assert read_options(file, ActivityOptions).replace(method=owner) == ActivityOptions(method=owner)


def test_an_unknown_key_like_nothing_known_lists_what_is_known() -> None:
    with pytest.raises(OptionError, match=r"known are polarisation, max_perp_baseline_m"):
        PairOptions(**{"qqqqq": 1})


def test_several_faults_are_said_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        RunOptions(start="soon", pairs={"polarisation": "XX"})
    assert "'start'" in str(caught.value)
    assert "'pairs.polarisation'" in str(caught.value)


@pytest.mark.parametrize("bare_number", [2021, 20, 1.5])
def test_a_number_is_not_taken_for_seconds_since_1970(bare_number: float) -> None:
    with pytest.raises(OptionError, match="a date such as"):
        RunOptions(start=bare_number)


def test_the_end_lies_after_the_start() -> None:
    with pytest.raises(OptionError, match="the end 2020-12-31 lies before the start 2021-01-01"):
        RunOptions(start="2021-01-01", end="2020-12-31")
    assert RunOptions(start="2021-01-01", end="2021-01-01").end == dt.date(2021, 1, 1)


def test_options_cannot_be_changed_in_place() -> None:
    options = PairOptions()
    with pytest.raises(ValueError, match="frozen"):
        options.polarisation = "VH"  # type: ignore[misc]
    assert options.replace(polarisation="vh").polarisation == "VH"
    assert options.polarisation == "VV"


def test_replace_validates_and_leaves_what_is_not_given() -> None:
    options = PairOptions(max_perp_baseline_m=100)
    assert options.replace(polarisation=None, exclude=["2021-02-03"]).max_perp_baseline_m == 100
    with pytest.raises(OptionError, match="max_perp_baseline_m"):
        options.replace(max_perp_baseline_m=-1)


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "snap")
    assert RunOptions().coherence.engine == "snap"
    assert RunOptions(coherence={"engine": "builtin"}).coherence.engine == "builtin"
    monkeypatch.setenv(ENGINE_VARIABLE, "")
    assert RunOptions().coherence.engine == "builtin"
    monkeypatch.setenv(ENGINE_VARIABLE, "spam")
    with pytest.raises(OptionError, match=rf"'spam' \(from the environment's {ENGINE_VARIABLE}\)"):
        RunOptions()


def test_every_option_is_described_and_has_a_row_in_the_table() -> None:
    table = options_table(RunOptions)
    paths = [path for path, _ in fields_of(RunOptions)]
    assert len(paths) > 20
    for path, field in fields_of(RunOptions):
        assert field.description, path
        assert f"| `{path}` |" in table
    assert all(line.count(" | ") >= 2 for line in table.splitlines()[2:])


def test_help_states_limits_and_defaults() -> None:
    assert help_of(PairOptions, "max_perp_baseline_m").endswith("[0 < x <= 5000]")
    assert help_of(PairOptions, "polarisation").endswith("[VV | VH | HH | HV]")
    assert default_of(PairOptions, "temporal_baseline_days") == "12, 24"
    assert default_of(CoherenceOptions, "window") == "2x7"
    assert default_of(PairOptions, "relative_orbit") is None


def test_yaml_comments_every_option_and_reads_back(tmp_path: Path) -> None:
    options = RunOptions(
        mine=Path("a mine: #1.geojson"),
        start="2021-01-01",
        end=dt.date(2023, 12, 31),
        pairs={"exclude": ["2021-02-03", "2022-01-11"], "polarisation": "vh"},
        coherence={"window": "3x9", "orbits": ["a.EOF"]},
        activity={"method": "published", "black_below": 0.125},
    )
    text = to_yaml(options, {"versions": {"numpy": "2"}, "skipped": ["änderung"]})
    for path, field in fields_of(RunOptions):
        assert f"# {field.description}" in text, path
    assert yaml.safe_load(text)[PROVENANCE_KEY]["skipped"] == ["änderung"]
    file = tmp_path / "options [1].yaml"
    file.write_text(text, encoding="utf-8")
    assert read_options(file, RunOptions) == options


@given(
    baseline=st.floats(0.001, 5000),
    days=st.lists(st.integers(1, 366), min_size=1, max_size=5, unique=True),
    exclude=st.lists(st.dates(dt.date(2014, 1, 1), dt.date(2100, 1, 1)), max_size=3),
)
def test_any_valid_pair_options_survive_yaml(
    tmp_path_factory: pytest.TempPathFactory, baseline: float, days: list[int], exclude: list[dt.date]
) -> None:
    options = PairOptions(max_perp_baseline_m=baseline, temporal_baseline_days=days, exclude=exclude)
    file = tmp_path_factory.mktemp("yaml") / "o.yaml"
    file.write_text(to_yaml(options), encoding="utf-8")
    assert read_options(file, PairOptions) == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pairs: [", "not valid YAML"),
        ("- a\n- b\n", "holds list"),
        ("start: 2021-01-01\nstart: 2022-01-01\n", "'start' is given twice"),
        ("pairs:\n  exclud: []\n", "did you mean 'pairs.exclude'?"),
        ("pairs: 3\n", "'pairs' is 3"),
    ],
)
def test_a_faulty_options_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        read_options(file, RunOptions)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_or_binary_options_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        read_options(tmp_path / "none.yaml", RunOptions)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(OptionError, match="cannot be read"):
        read_options(tmp_path / "binary.yaml", RunOptions)


def test_an_empty_options_file_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    assert read_options(tmp_path / "empty.yaml", AnalyseOptions) == AnalyseOptions()
    assert read_options(tmp_path / "empty.yaml", ActivityOptions) == ActivityOptions()


def test_the_page_of_the_documentation_is_the_one_the_options_give() -> None:
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text("utf-8") == options_page(), "python -m insar_mining.options > docs/options.md"


def test_options_and_functions_have_the_same_defaults():
    """`run` without options does what the functions do without arguments."""

    def default(function, name):
        return inspect.signature(function).parameters[name].default

    activity, coherence = ActivityOptions(), CoherenceOptions()
    assert activity.white_saturation == default(classify, "white_saturation")
    assert activity.black_sigma == default(classify, "black_sigma")
    assert activity.black_below == default(classify, "black_below")
    assert activity.ceiling == default(rgb_composite, "ceiling")
    assert activity.min_pairs == default(annual_ndai, "min_pairs")
    assert activity.min_cover == default(open_stack, "min_cover")
    assert activity.zero == default(open_stack, "zero")
    assert activity.margin_m is None  # by the width of the mine, and none with the published method
    assert activity.stable_mean_min == default(stable_points, "mean_min")
    assert activity.stable_std_max == default(stable_points, "std_max")
    assert activity.stable_method == default(stable_points, "method")
    assert activity.scene_mean_min == default(filter_scenes, "mean_min")
    assert activity.scene_std_max == default(filter_scenes, "std_max")
    assert Window(*coherence.window) == Window()
