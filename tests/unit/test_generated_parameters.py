"""Command-line parameters made from option models: types, flags, limits, defaults, files and sections."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from insar_mining.cli import app, parameters
from insar_mining.cli.generated import changed, snap_values, with_options
from insar_mining.errors import OptionError
from insar_mining.options.base import Options, flag
from insar_mining.options.models import Day, RunOptions, SnapOptions


class Section(Options):
    width_m: float = Field(2.0, gt=0, le=5, description="Width.")
    kinds: tuple[Literal["a", "b"], ...] = Field((), description="Kinds.", json_schema_extra=flag("--kind"))
    is_kept: bool = Field(True, description="Keep.", json_schema_extra=flag("--drop"))
    is_loud: bool = Field(False, description="Loud.", json_schema_extra=flag("--loud"))


class Whole(Options):
    file: Path = Field(description="A file.")
    day: Day | None = Field(None, description="A day.")
    bounds: tuple[float, float] | None = Field(None, description="Bounds.")
    section: Section = Field(default_factory=Section, description="A section.")
    snap: SnapOptions = Field(default_factory=SnapOptions, description="SNAP.")


def command(paths: tuple[str, ...], **how: Any) -> tuple[typer.Typer, list[Any]]:
    """A command that keeps what it was called with."""
    seen: list[Any] = []
    made = parameters.new_app()

    @made.command()
    @with_options(Whole, paths, arguments=["file"], **how)
    def do(options: Whole, own: Annotated[int, typer.Option("--own")] = 3) -> None:
        seen.append((options, own))

    return made, seen


ALL = ("file", "day", "bounds", "section.width_m", "section.kinds", "section.is_kept", "section.is_loud")


def test_values_reach_the_model_with_their_types() -> None:
    made, seen = command(ALL)
    given = ["f", "--day", "2021-02-03", "--bounds", "1", "2.5", "--width", "4", "--kind", "a", "--kind", "b"]
    result = CliRunner().invoke(made, [*given, "--drop", "--loud", "--own", "7", "--snap", "memory=8G"])
    assert result.exit_code == 0, result.output
    section = Section(width_m=4.0, kinds=("a", "b"), is_kept=False, is_loud=True)
    snap = SnapOptions(memory="8G")
    expected = Whole(file=Path("f"), day=dt.date(2021, 2, 3), bounds=(1.0, 2.5), section=section, snap=snap)
    assert seen == [(expected, 7)]


def test_what_is_not_given_stays_as_in_the_model() -> None:
    made, seen = command(ALL)
    assert CliRunner().invoke(made, ["f"]).exit_code == 0
    assert seen == [(Whole(file=Path("f")), 3)]


def test_help_has_descriptions_limits_and_defaults() -> None:
    made, _ = command(ALL)
    text = " ".join(CliRunner().invoke(made, ["--help"]).output.split())
    for words in ("--width METRES Width. [0 < x <= 5] (default 2.0)", "--drop Switch off: Keep.", "Kinds. [a | b]"):
        assert words in text
    assert "A file. [required]" in text


def test_a_required_option_and_an_unknown_one_are_usage_errors() -> None:
    made, seen = command(ALL)
    assert CliRunner().invoke(made, []).exit_code == 2
    assert CliRunner().invoke(made, ["f", "--depth", "3"]).exit_code == 2
    assert seen == []


def test_a_value_out_of_limits_is_an_option_error_with_its_dotted_name() -> None:
    made, _ = command(ALL)
    raised = CliRunner().invoke(made, ["f", "--width", "9"]).exception
    assert isinstance(raised, OptionError)
    assert "section.width_m" in str(raised)


def test_a_file_of_options_gives_way_to_what_is_given(tmp_path: Path) -> None:
    file = tmp_path / "o.yaml"
    file.write_text("file: x\nsection:\n  width_m: 1\n  is_loud: true\n", encoding="utf-8")
    made, seen = command(ALL, config=True)
    assert CliRunner().invoke(made, ["f", "--config", str(file), "--width", "3"]).exit_code == 0
    assert seen == [(Whole(file=Path("f"), section=Section(width_m=3.0, is_loud=True)), 3)]


def test_changed_sets_sections_and_leaves_the_rest() -> None:
    base = RunOptions(pairs={"exclude": ["2021-01-05"]})
    now = changed(base, {"mine_id": "a", "pairs.max_perp_baseline_m": 100, "pairs.polarisation": None})
    assert now == RunOptions(mine_id="a", pairs={"exclude": ["2021-01-05"], "max_perp_baseline_m": 100})


@pytest.mark.parametrize("text", ["memory", "memory=", "memry=8G"])
def test_texts_of_snap_that_are_no_option_are_refused(text: str) -> None:
    with pytest.raises(OptionError):
        snap_values([text])


@pytest.mark.parametrize("name", ["run", "coherence", "pairs"])
def test_commands_offer_what_the_models_say(name: str) -> None:
    text = " ".join(CliRunner().invoke(app, [name, "--help"]).output.split())
    for path in ("polarisation", "max_perp_baseline_m") if name != "coherence" else ("polarisation",):
        field = RunOptions().pairs.__class__.model_fields[path]
        assert str(field.description) in text
