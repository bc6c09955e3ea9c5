"""How a folder of coherence maps that were made elsewhere is read: the options of that step."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from insar_mining.options.base import Options, flag


def _band(value: object) -> object:
    """Read a number written as text as a number."""
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class MapOptions(Options):
    """Which files, bands and pairs of a folder are read, and what their numbers mean."""

    pattern: str | None = Field(
        None,
        description="Files to read, as a pattern of names or of paths below the folder (*_corr.tif, */coh_vv.tif); "
        "by default those with coherence in their names, else all that have two dates.",
    )
    band: Annotated[str | int, pydantic.BeforeValidator(_band)] | None = Field(
        None, description="Band to read, by number or name, of files that hold several; by default the named ones."
    )
    pol: Annotated[Literal["VV", "VH", "HH", "HV"], pydantic.BeforeValidator(_upper)] | None = Field(
        None, description="Polarisation to read where there are several; by default VV, else HH."
    )
    scale: float | None = Field(
        None,
        gt=0,
        description="Stored number that stands for a coherence of 1, if the files do not state it: 255, 100 (percent), "
        "10000.",
    )
    repeat_days: int = Field(
        6,
        ge=1,
        le=100,
        description="Days of which the span of a pair is a multiple: 6 of Sentinel-1, 11 of TerraSAR-X, 14 of ALOS-2; "
        "1 takes any.",
        json_schema_extra=flag("--repeat-days"),
    )
    max_span_days: int | None = Field(
        None,
        ge=1,
        le=36_600,
        description="Longest span of a pair; by default ten times the median span, at least 100 days and below 366.",
    )
    track: dt.date | None = Field(
        None, description="Any date of the track to use, where a folder holds pairs of several."
    )
