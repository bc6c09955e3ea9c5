"""How a stack of coherence maps becomes activity: the options of that step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field

from insar_mining.options.base import Options

Flag = Literal["layover", "shadow", "low-signal", "water"]

# what the significant method does instead of an option of the published one
NOT_SIGNIFICANT = {
    "span_correction": "compares every pair with ground of the same kind in the same pair",
    "elevation": "takes what the baseline costs a cell from the cell's own pairs",
    "incidence": "compares every cell with its own level",
    "black_below": "decides by false_discovery_rate and min_loss which ground is not active",
    "black_sigma": "decides by false_discovery_rate and min_loss which ground is not active",
    "white_saturation": "decides every year by itself, so that no hue decides which years are active",
}
# limits of stable points and of scenes: no limit of the significant method, which keeps every scene
OF_STABLE_POINTS = ("stable_method", "stable_mean_min", "stable_std_max", "scene_mean_min", "scene_std_max")
# what the published method does instead of an option of the significant one
NOT_PUBLISHED = {
    "false_discovery_rate": "decides by the hue of three years (black_below, black_sigma, white_saturation)",
    "min_loss": "decides by the hue of three years (black_below, black_sigma, white_saturation)",
    "interval_draws": "gives no interval of an area",
    "land_cover": "takes all ground that is never coherent for worked (activity.masks leaves ground out)",
}


class ActivityOptions(Options):
    """How a stack of coherence maps becomes activity."""

    method: Literal["significant", "published"] = Field(
        "significant",
        description="Each year decided on its own against control ground, or by the hue of three years as published.",
    )
    false_discovery_rate: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Share of undisturbed cells among those found significant in a year (significant).",
    )
    min_loss: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Border between undisturbed (0) and disturbed ground (1) (significant).",
    )
    interval_draws: int = Field(
        40,
        ge=0,
        le=10_000,
        description="0: no interval of an area; any other number: one, which needs no draws any more (significant).",
    )
    interval_level: float = Field(0.95, gt=0, lt=1, description="Confidence of that interval.")
    stable_method: Literal["iterated", "published"] = Field(
        "iterated",
        description="Stable points on kept pairs, repeated until constant, or once over all pairs (published).",
    )
    stable_mean_min: float = Field(
        0.8, ge=0, le=1, description="Least mean coherence over time of a stable point, inclusive (published)."
    )
    stable_std_max: float = Field(
        0.2, ge=0, le=1, description="Largest standard deviation over time of a stable point, inclusive (published)."
    )
    scene_mean_min: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Least mean coherence over the stable points of a pair that is kept, inclusive (published).",
    )
    scene_std_max: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Largest standard deviation over the stable points of a pair that is kept (published).",
    )
    ceiling: float = Field(0.45, gt=0, le=1, description="NDAI shown at full colour: the stretch of the composite.")
    black_below: float | None = Field(
        None,
        ge=0,
        le=1,
        description="NDAI below which a pixel counts as not active; by default from the stable set (published).",
    )
    black_sigma: float = Field(
        3.0,
        ge=0,
        le=20,
        description="Standard deviations of the stable set's annual NDAI above its mean, for that (published).",
    )
    white_saturation: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Saturation below which a pixel counts as active in all three years (published).",
    )
    min_pairs: int = Field(1, ge=1, le=1000, description="Least number of pairs of a pixel in a year.")
    min_cover: float = Field(0.5, gt=0, le=1, description="Least share of a cell inside the mine for it to count.")
    zero: Literal["nodata", "value"] = Field(
        "nodata", description="What an exact 0 means in rasters that were made elsewhere."
    )
    masks: tuple[Path, ...] = Field(
        (),
        description="Rasters (every value but 0) or polygons of ground to leave out of every number: water, layover, "
        "shadow.",
    )
    mask_flags: tuple[Flag, ...] = Field(
        (),
        description="Ground to leave out that half or more of the pairs flag in the band mask of this package's maps "
        "(coherence.bands).",
    )
    ndvi: tuple[Path, ...] = Field(
        (),
        max_length=2,
        description="Raster of a vegetation index, or red and near-infrared rasters of which it is made.",
    )
    ndvi_max: float | None = Field(
        None,
        gt=-1,
        le=1,
        description="Ground of a higher index is left out; by default strata.csv lists it.",
    )
    land_cover: Path | None = Field(
        None,
        description="Raster of land cover, by which ground that is never coherent is natural or worked (significant).",
    )
    natural_codes: tuple[int, ...] = Field(
        (10, 70, 80, 90, 95),
        description="Its values of ground that is never coherent by nature; by default ESA WorldCover's trees, snow, "
        "water, wetland and mangroves.",
    )
    bare_codes: tuple[int, ...] = Field(
        (60,), description="Its values of ground without water and plants, never coherent only where it is worked."
    )
    surfaces: Path | None = Field(
        None, description="Polygons of kinds of ground (pit, dump, tailings, road), listed in strata.csv."
    )
    surface_field: str | None = Field(
        None, description="Attribute that names the kind; by default class, stratum, surface, type or name."
    )
    covariates: Path | None = Field(
        None, description="CSV of date and temperature, snow or the like, to explain rejected pairs with."
    )
    sample: Path | None = Field(
        None, description="CSV of points that were looked at (longitude, latitude, reference), to correct areas with."
    )
    margin_m: float | None = Field(
        None,
        ge=0,
        le=20_000,
        description="Ground around the mine, metres, that is control (significant) or may be stable (published); it "
        "counts in no area. A run maps it, analyse reads as much of it as the maps hold. By default 1000, and 3000 "
        "around mines wider than 2 km (significant), or none (published).",
    )
    stable_ground: Literal["inside", "around", "both"] = Field(
        "both",
        description="Where stable points may lie once there is ground around the mine (published); inside: no ground "
        "around it is control (significant).",
    )
    span_correction: bool = Field(
        False,
        description="Bring longer pairs to the shortest span by the decay of stable ground (published; the "
        "significant method has its own account of spans and refuses it).",
    )
    baseline_correction: bool = Field(
        False,
        description="Correct for baseline decorrelation: published restores in each pair the loss of stable ground, by "
        "class of slope where elevation is given; significant expects in a cell the loss of its own pairs.",
    )
    elevation: Path | None = Field(
        None, description="Elevation model, for baseline_correction by classes of slope (published)."
    )
    incidence: Path | None = Field(
        None,
        description="Raster of incidence angles, degrees: NDAI compares each class of 5 degrees with its own stable "
        "points (published).",
    )
    coherence_floor: float = Field(
        0.34,
        ge=0,
        lt=1,
        description="What the estimator reads without any coherence, for fits of what span and baseline take: 0.34 for "
        "7 looks.",
    )

    @pydantic.model_validator(mode="after")
    def _of_this_method(self) -> Self:
        other, foreign = (
            ("published", NOT_SIGNIFICANT) if self.method == "significant" else ("significant", NOT_PUBLISHED)
        )
        for name, why in foreign.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name}={value}: of the {other} method only, and method is {self.method!r}, which {why}. "
                    f"Give activity.method {other}, or leave {name} out."
                )
        return self

    @pydantic.model_validator(mode="after")
    def _with_what_they_speak_of(self) -> Self:
        if self.elevation is not None and not self.baseline_correction:
            raise ValueError(
                "elevation is for baseline_correction by classes of slope. Give that too, or leave it out."
            )
        no_ground = self.method == "published" if self.margin_m is None else not self.margin_m
        if self.stable_ground != "both" and no_ground:
            raise ValueError(
                f"stable_ground={self.stable_ground!r}: needs ground around the mine. Give activity.margin_m"
            )
        if self.ndvi_max is not None and not self.ndvi:
            raise ValueError(f"ndvi_max={self.ndvi_max:g}: needs a raster of the index. Give activity.ndvi")
        if self.surface_field is not None and self.surfaces is None:
            raise ValueError(f"surface_field={self.surface_field!r}: needs a file of polygons. Give activity.surfaces")
        return self
