"""Every option of every step: one frozen, bounded model each, and how they are read and written.

The command line's help, the commented YAML beside each result and the table in the
documentation are made from the descriptions here, so that they cannot drift apart.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

import pydantic
import yaml
from pydantic import AfterValidator, Field

from insar_mining.doors import one_line, parse_yaml
from insar_mining.errors import OptionError
from insar_mining.options.activity import ActivityOptions as ActivityOptions
from insar_mining.options.base import ENGINE_VARIABLE as ENGINE_VARIABLE
from insar_mining.options.base import Options as Options
from insar_mining.options.base import default_of as default_of
from insar_mining.options.base import fields_of as fields_of
from insar_mining.options.base import flag, limits_of, one_path, plain, plain_text
from insar_mining.options.base import help_of as help_of
from insar_mining.options.maps import MapOptions as MapOptions

MINE_ID = (
    "Mine of several in the file: its id, name, an attribute (type=pit) or a place in it (-8.77,31.80); all: every "
    "polygon of the file as one mine."
)

# what run.yaml records beside the options; of no effect when the file is used again
PROVENANCE_KEY = "made_by"

Engine = Literal["builtin", "snap", "snappy"]
Polarisation = Literal["VV", "VH", "HH", "HV"]
SwathName = Literal["IW1", "IW2", "IW3"]


def _engine_of_environment() -> Engine:
    return cast(Engine, os.environ.get(ENGINE_VARIABLE) or "builtin")  # validated like any other default


def _window_from_text(value: object) -> object:
    """Read ``"2x7"``; leave everything but text to the model."""
    if not isinstance(value, str):
        return value
    sides = value.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdigit() for side in sides):
        raise ValueError("must be azimuth x range in whole samples, such as 2x7")
    return tuple(int(side) for side in sides)


def _day(value: object) -> object:
    """Read ``2021-01-31`` or ``20210131``; a bare number is not taken for seconds since 1970."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a date such as 2021-01-31") from None


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _in_order(days: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(days)) != len(days):
        raise ValueError(f"{list(days)} names a span twice")
    return days


def _years_once(years: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(years)))


Tiles = Annotated[Path, pydantic.BeforeValidator(one_path)]
Upper = pydantic.BeforeValidator(_upper)
Day = Annotated[dt.date, pydantic.BeforeValidator(_day)]
Days = Annotated[int, Field(ge=1, le=366)]
Year = Annotated[int, Field(ge=2014, le=2100)]
BandName = Literal[
    "unbiased",
    "standard_error",
    "lower",
    "upper",
    "phase",
    "filtered_phase",
    "amplitude_reference",
    "amplitude_secondary",
    "mask",
    "incidence",
    "baseline",
]
WindowSide = Annotated[int, Field(ge=1, le=99)]


Model = TypeVar("Model", bound=Options)


class PairOptions(Options):
    """Which scenes form pairs."""

    polarisation: Annotated[Polarisation, Upper] = Field(
        "VV",
        description="Polarisation of the pairs.",
        json_schema_extra=flag("--pol"),
    )
    max_perp_baseline_m: float = Field(
        250.0, gt=0, le=5000, description="Largest perpendicular baseline of a pair, metres, without its sign."
    )
    temporal_baseline_days: Annotated[tuple[Days, ...], AfterValidator(_in_order)] = Field(
        (12, 24),
        min_length=1,
        description="Spans of a pair in days, tried from the shortest; a longer one bridges a date that is missing.",
    )
    relative_orbit: int | None = Field(
        None, ge=1, le=175, description="Track (relative orbit) to use; by default the one that gives most pairs."
    )
    exclude: tuple[Day, ...] = Field((), description="Dates not to use; a longer pair bridges each.")
    allow_mixed_platforms: bool = Field(
        False,
        description="Also pair scenes of two satellites; each such pair has a warning and a tag.",
        json_schema_extra=flag("--mixed-platforms"),
    )
    network: Literal["consecutive", "all", "small-baseline"] = Field(
        "consecutive", description="Pairs of each image: the next; every one up to the longest span; the shortest few."
    )
    connections: int = Field(3, ge=1, le=100, description="Pairs of each image to later ones, of small-baseline.")
    max_pairs: int | None = Field(None, ge=1, description="Cap on the number of pairs; the shortest stay.")


class ArchiveOptions(Options):
    """What a run fetches that it is not given, and how."""

    folder: Path | None = Field(
        None,
        description="Folder for what is fetched, which several mines may share; by default archive in the result's.",
        json_schema_extra=flag("--archive"),
    )
    product: Literal["burst", "scene"] = Field(
        "burst", description="What is fetched of each date: the bursts over the mine, or whole scenes."
    )
    dem_source: Literal["glo30", "srtm1"] = Field(
        "glo30", description='Elevation model: Copernicus GLO-30, or SRTM 1" as the published method has it.'
    )
    orbit_files: bool = Field(
        True,
        description="Fetch the orbit file of each date (POEORB, else RESORB); else annotations' vectors serve.",
        json_schema_extra=flag("--annotation-orbits"),
    )
    connections: int = Field(4, ge=1, le=16, description="Connections to the archive at the same time.")
    bandwidth_mb_s: float | None = Field(
        None, ge=0.01, description="Most megabytes per second; by default as fast as they come."
    )
    line_mb_s: float = Field(10.0, gt=0, description="Megabytes per second to estimate hours with.")


class CoherenceOptions(Options):
    """How a pair becomes a coherence map."""

    engine: Engine = Field(
        default_factory=_engine_of_environment,
        description=f"Engine that makes the maps; the default is builtin unless {ENGINE_VARIABLE} names another.",
    )
    window: Annotated[tuple[WindowSide, WindowSide], pydantic.BeforeValidator(_window_from_text)] = Field(
        (2, 7), description="Coherence window, azimuth x range, samples at full resolution."
    )
    spacing_m: float = Field(20.0, ge=1, le=1000, description="Cell size of the map grid, metres.")
    swaths: tuple[Annotated[SwathName, Upper], ...] = Field(
        (),
        description="Sub-swaths to use (IW1, IW2, IW3); by default those that see the area.",
        json_schema_extra=flag("--swath"),
    )
    dem_heights: Literal["auto", "orthometric", "ellipsoid"] = Field(
        "auto",
        description="What the elevation model's heights refer to; auto reads its vertical CRS, orthometric if none.",
    )
    remove_topography: bool = Field(
        True,
        description="Remove the flat-earth and topographic phase before the coherence window.",
        json_schema_extra=flag("--keep-topography"),
    )
    window_anchor: Literal["centre", "snap"] = Field(
        "centre",
        description="Place of a window's value on the map: its centre, or its pixel as in SNAP (7 m away).",
    )
    estimator: Literal["boxcar", "adaptive"] = Field(
        "boxcar", description="Window of coherence: as it is, or 5 x 15 cut at edges of brightness (roads, pit walls)."
    )
    remove_fringes: bool = Field(False, description="Take a local ramp of phase out of the window before it is summed.")
    common_band: bool = Field(False, description="Filter both dates to the range band that they share.")
    refine: Literal["none", "auto"] = Field(
        "none", description="Measure what geometry leaves of a shift between two dates, and take it out."
    )
    goldstein_alpha: float = Field(
        1.0, ge=0, le=1, description="Exponent of the Goldstein filter of the band filtered_phase; 0 filters nothing."
    )
    goldstein_adaptive_alpha: bool = Field(
        False, description="Let the exponent be 1 less the mean coherence of each patch, 0.2 to 1, as SNAP 14 does."
    )
    goldstein_fft_size: Literal[32, 64, 128, 256] = Field(64, description="Side of a patch of that filter, pixels.")
    goldstein_window_size: Literal[3, 5, 7] = Field(
        3, description="Side of the boxcar that smooths the spectrum of a patch."
    )
    goldstein_coherence_threshold: float = Field(
        0.0, ge=0, le=1, description="Pixels of less coherence are left unfiltered; 0 filters all."
    )
    bands: tuple[BandName, ...] = Field(
        (),
        description="Bands beside coherence: unbiased, standard_error, lower, upper, phase, filtered_phase, "
        "amplitude_reference, amplitude_secondary, mask, incidence, baseline.",
        json_schema_extra=flag("--band"),
    )
    orbits: tuple[Path, ...] = Field(
        (),
        description="Orbit files (EOF) or folders of them, instead of the annotation's vectors.",
        json_schema_extra=flag("--orbit"),
    )
    common_geometry: bool = Field(
        True,
        description="Bring all dates of a run to one scene (builtin); else each pair to its reference, as SNAP does.",
    )
    stack_reference: Day | None = Field(
        None,
        description="Date to whose geometry all others are brought; by default the earliest that sees all of the mine.",
    )
    cache_gb: float = Field(
        20.0, ge=0, le=10_000, description="Room for dates on that geometry, gigabytes; 0 keeps none and is slower."
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of the built-in engine; by default what machine and OMP_NUM_THREADS allow.",
    )


class SnapOptions(Options):
    """How ESA SNAP is run on this machine, for the engines snap and snappy.

    What is not given is taken from the environment (``INSAR_MINING_SNAP_<NAME>``), else from
    the machine or its container.
    """

    memory: str | None = Field(
        None,
        pattern=r"(?i)^\s*\d+(\.\d+)?\s*[MGT]i?B?\s*$",
        description="Java heap of SNAP, such as 8G; by default 60 % of the machine's or the container's memory.",
    )
    parallelism: int | None = Field(
        None, ge=1, le=1024, description="Threads of SNAP; by default the processors, at most 16."
    )
    idle_s: float | None = Field(
        None,
        ge=0.1,
        le=864000,
        description="Seconds after which a SNAP without output and computation is ended; by default 900.",
    )
    wall_s: float | None = Field(
        None, ge=0.1, le=8640000, description="Longest time for one stage of SNAP, seconds; by default 21600."
    )
    scratch: Path | None = Field(
        None, description="Folder for SNAP's intermediate products; by default beside the result."
    )
    keep_failed: int | None = Field(
        None, ge=0, le=1000, description="Failed pairs whose intermediate products are kept, the newest; by default 3."
    )
    graphs: Path | None = Field(None, description="Folder of your own graph templates; by default the package's.")
    spectral_diversity: bool | None = Field(
        None, description="Enhanced spectral diversity after coregistration; by default false."
    )


class RunOptions(Options):
    """Everything that a run needs: its inputs and the options of every step.

    Examples
    --------
    >>> options = RunOptions(start="2021-01-01", activity={"method": "published"})
    >>> options.coherence.window, options.pairs.max_perp_baseline_m
    ((2, 7), 250.0)
    """

    mine: Path | None = Field(None, description="Vector file with the mine's polygon.")
    mine_id: str | None = Field(None, description=MINE_ID)
    start: Day | None = Field(None, description="First date of the scenes to use (inclusive).")
    end: Day | None = Field(None, description="Last date of the scenes to use (inclusive).")
    scenes: Path | None = Field(
        None, description="Folder of Sentinel-1 SLC products; without one they are searched for and fetched."
    )
    dem: Tiles | None = Field(
        None,
        description="Elevation model that covers the mine, its tiles, or a folder of them; without one it is fetched.",
    )
    archive: ArchiveOptions = Field(default_factory=ArchiveOptions, description="What is fetched, and how.")
    pairs: PairOptions = Field(default_factory=PairOptions, description="Which scenes form pairs.")
    coherence: CoherenceOptions = Field(default_factory=CoherenceOptions, description="How a pair becomes a map.")
    activity: ActivityOptions = Field(default_factory=ActivityOptions, description="How maps become activity.")
    snap: SnapOptions = Field(
        default_factory=SnapOptions, description="How ESA SNAP is run, for the engines snap and snappy."
    )

    @pydantic.model_validator(mode="after")
    def _start_first(self) -> Self:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"the end {self.end} lies before the start {self.start}. Exchange them.")
        return self

    @pydantic.model_validator(mode="after")
    def _one_geometry_for_a_stack_reference(self) -> Self:
        chosen = self.coherence
        if chosen.stack_reference is not None and (chosen.engine != "builtin" or not chosen.common_geometry):
            raise ValueError(
                f"coherence.stack_reference={chosen.stack_reference} needs the engine builtin and common_geometry: "
                "otherwise each pair stays on its own reference. Leave it out, or choose those."
            )
        return self

    @pydantic.model_validator(mode="after")
    def _maps_give_what_is_asked_of_them(self) -> Self:
        if self.activity.mask_flags and "mask" not in self.coherence.bands:
            raise ValueError(
                f"activity.mask_flags={list(self.activity.mask_flags)} reads the band mask, which coherence.bands does "
                "not name. Add mask to it."
            )
        return self


class AnalyseOptions(Options):
    """Everything that an analysis of existing coherence maps needs."""

    folder: Path | None = Field(None, description="Folder of coherence maps, or a file that holds several.")
    mine: Path | None = Field(None, description="Vector file with the mine's polygon.")
    mine_id: str | None = Field(None, description=MINE_ID)
    years: Annotated[tuple[Year, ...], AfterValidator(_years_once)] = Field(
        (), description="Years to use; by default all that the maps hold."
    )
    maps: MapOptions = Field(default_factory=MapOptions, description="Which maps are read, and how.")
    activity: ActivityOptions = Field(default_factory=ActivityOptions, description="How maps become activity.")


def options_table(model: type[Options]) -> str:
    """Return a Markdown table of a model's options for the documentation."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    for path, field in fields_of(model):
        value = field.get_default(call_default_factory=True, validated_data={})
        default = "" if value is None or value == () else plain_text(path, value)
        limits = limits_of(field).replace("|", "\\|")
        rows.append(f"| `{path}` | {default} | {field.description}{f' `{limits}`' if limits else ''} |")
    return "\n".join(rows) + "\n"


def options_page() -> str:
    """Return the documentation's page of all options (``docs/options.md``)."""
    parts = [
        "# Options",
        "",
        "Every option of `run` and `analyse`, as `--config FILE` reads it and `run.yaml` records it. Made from the "
        "descriptions in `insar_mining/options/`; `python -m insar_mining.options > docs/options.md` makes it "
        "again.",
        "",
        "## run",
        "",
        options_table(RunOptions),
        "## analyse",
        "",
        options_table(AnalyseOptions),
    ]
    return "\n".join(parts)


def to_yaml(options: Options, provenance: Mapping[str, Any] | None = None) -> str:
    """Write options as YAML with every description as a comment.

    Parameters
    ----------
    options : Options
    provenance : mapping, optional
        Versions, inputs and counts to record below the options; `read_options` skips them.

    Examples
    --------
    >>> print(to_yaml(PairOptions(exclude=["2021-02-03"])))
    # Polarisation of the pairs. [VV | VH | HH | HV]
    polarisation: VV
    ...
    exclude: ['2021-02-03']
    ...
    """
    text = "\n".join(_yaml_lines(options, indent=""))
    if provenance is not None:
        record = yaml.safe_dump({PROVENANCE_KEY: dict(provenance)}, sort_keys=False, allow_unicode=True, width=100)
        text += f"\n\n# How this result was made; of no effect when the file is used again.\n{record}"
    return text.rstrip("\n") + "\n"


def _yaml_lines(options: Options, indent: str) -> Iterator[str]:
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, Options):
            yield f"\n{indent}# {type(options).model_fields[name].description}"
            yield f"{indent}{name}:"
            yield from _yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}# {help_of(type(options), name)}"
            one_line = yaml.safe_dump(plain(name, value), default_flow_style=True, width=10**6, allow_unicode=True)
            yield f"{indent}{name}: {one_line.rstrip().removesuffix('...').rstrip()}"  # ... ends a bare scalar


def read_options(path: Path | str, model: type[Model]) -> Model:
    """Read an options file (YAML) into a model; relative paths in it are kept as they are.

    Raises
    ------
    OptionError
        The file cannot be read, is not YAML, has an unknown key (the nearest valid one is
        named), or a value out of its limits.
    """
    path = Path(path)
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: the options file cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise OptionError(f"{path}: the options file is not valid YAML ({one_line(error)})") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise OptionError(f"{path}: the options file holds {type(content).__name__}, expected 'option: value' lines")
    values = {str(key): value for key, value in content.items() if key != PROVENANCE_KEY}
    try:
        return model(**values)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None
