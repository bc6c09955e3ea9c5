"""Three years as red, green and blue, and the classes that their hue tells apart."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.arrays import ByteArray, FloatArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError
from insar_mining.geo.cells import on_cells_of
from insar_mining.geo.georeferenced import georeferenced

logger = logging.getLogger(__name__)

# A class is the set of years in which a pixel is active, one bit per year: 1 the first (red), 2 the
# second (green), 4 the third (blue). So cyan, green and blue together, is 6.
CLASS_NAMES = ("Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White")
NO_CLASS = 255
# bits of the largest type of `classes_of_years`, but for what no data takes
MOST_YEARS = 30

# the six colours around the circle of hue from 0 degrees, 60 degrees apart, as classes
_HUE_CLASSES = np.array([1, 3, 2, 6, 4, 5], np.uint8)

# NDAI of fully decorrelated ground beside stable ground of 0.9, for the 7 looks of a 2 x 7 window
CEILING = 0.45
BLACK_BELOW = 0.1
BLACK_SIGMA = 3.0
# Ground that is fully decorrelated in all three years stays below this saturation in more than 99 of 100 pixels
# with 30 pairs a year, in 90 with 11 (simulated with 7 looks beside 0.9).
WHITE_SATURATION = 0.3

# annual values of stable points that give the limit of black
ENOUGH_STABLE = 10

# pixels that are classified at a time
ROW_PIXELS = 2**20


def composite_years(annual: xr.DataArray, years: Sequence[int] | None = None) -> tuple[int, int, int]:
    """Choose the three years of a composite.

    Parameters
    ----------
    annual : DataArray (year, y, x)
    years : three ints, optional
        For red, green and blue. Default: the last three consecutive years there are.

    Raises
    ------
    ActivityError
        There are no such three years.
    """
    have = [int(year) for year in annual["year"].values]
    if years is None:
        runs = [year for year in have if {year + 1, year + 2} <= set(have)]
        if not runs:
            raise ActivityError(
                f"a composite needs three consecutive years, there is {_listed(have)}. Name three (years=)."
            )
        return runs[-1], runs[-1] + 1, runs[-1] + 2
    chosen = [int(year) for year in years]
    missing = [year for year in chosen if year not in have]
    if len(chosen) != 3 or len(set(chosen)) != 3 or missing:
        raise ActivityError(f"a composite needs three different years out of {_listed(have)}, not {_listed(chosen)}")
    return chosen[0], chosen[1], chosen[2]


def rgb_composite(annual: xr.DataArray, years: Sequence[int] | None = None, ceiling: float = CEILING) -> xr.DataArray:
    """Show three years of annual NDAI as red, green and blue.

    Parameters
    ----------
    annual : DataArray (year, y, x)
        From `annual_ndai`.
    years : three ints, optional
        For red, green and blue; default the last three consecutive ones.
    ceiling : float, in (0, 1]
        NDAI shown at full colour; one fixed stretch from 0 for all years. The default 0.45 is what fully
        decorrelated ground reads with a 2 x 7 window.

    Returns
    -------
    DataArray (band, y, x), float32
        0..1; NaN in all bands where a year is NaN. Negative NDAI is shown as 0. Coordinates: ``band``
        (red, green, blue), ``band_year`` and ``ndai`` (band, y, x), the values before the stretch, by which
        `classify` decides.

    Raises
    ------
    ActivityError
        The years are not there.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> annual = xr.DataArray(
    ...     np.array([[[0.4, 0.0, 0.4]], [[0.0, 0.0, 0.4]], [[0.0, 0.0, 0.0]]]),
    ...     dims=("year", "y", "x"), coords={"year": [2021, 2022, 2023]})
    >>> rgb_composite(annual).values[:, 0, 0].round(2)
    array([0.89, 0.  , 0.  ], dtype=float32)
    """
    annual = georeferenced(annual)
    chosen = composite_years(annual, years)
    if not 0 < ceiling <= 1:
        raise OptionError(f"ceiling={ceiling}: must be > 0 and <= 1 (0.45 is fully decorrelated ground)")
    index = annual.sel(year=list(chosen)).values.astype(np.float32)
    rgb = np.clip(index / np.float32(ceiling), 0, 1)
    rgb[:, np.isnan(index).any(axis=0)] = np.nan
    coords: dict[str, Any] = {
        "band": ("band", np.array(["red", "green", "blue"])),
        "band_year": ("band", np.array(chosen, np.int64)),
        "ndai": (("band", "y", "x"), index),
    }
    if "pairs_in_year" in annual.coords:
        coords["pairs_in_year"] = ("band", annual["pairs_in_year"].sel(year=list(chosen)).values)
    attrs = {"long_name": "annual NDAI of three years", "years": list(chosen), "ceiling": float(ceiling)}
    return on_cells_of(annual, ("band", "y", "x"), rgb, "rgb", {**attrs, **_stable_attributes(annual, chosen)}, coords)


def classify(
    source: xr.DataArray,
    years: Sequence[int] | None = None,
    *,
    black_below: float | None = None,
    black_sigma: float = BLACK_SIGMA,
    white_saturation: float = WHITE_SATURATION,
) -> xr.DataArray:
    """Sort pixels by the years in which they are active, by the hue of their composite.

    Red, Green and Blue are active in the first, second or third year only, Cyan in the second and third,
    Magenta in the first and third, Yellow in the first and second, White in all, Black in none.

    Parameters
    ----------
    source : DataArray
        Annual NDAI (year, y, x), or a composite (band, y, x) of `rgb_composite`.
    years : three ints, optional
        Of annual NDAI; default the last three consecutive ones.
    black_below : float, optional
        NDAI below which, in all years, a pixel is Black. Default: mean + `black_sigma` standard deviations of the
        annual NDAI of the stable points in these three years (attributes of `annual_ndai`), or 0.1 where fewer than ten
        such values are known.
    black_sigma : float
    white_saturation : float, 0..1
        Saturation below which a pixel that is not Black is White.

    Returns
    -------
    DataArray (y, x), uint8
        One bit per active year: 0 Black, 1 Red, 2 Green, 3 Yellow, 4 Blue, 5 Magenta, 6 Cyan, 7 White; 255
        where a year is NaN. Attributes ``flag_values``, ``flag_meanings``, ``years``, ``pairs_in_year``,
        ``black_below``.

    Raises
    ------
    ActivityError
        Neither annual NDAI nor a composite, or not three years.

    Notes
    -----
    With hi >= mid >= lo the NDAI of the three years, unclipped and with their sign: value is hi, saturation
    (hi - lo) / hi, and hue that of HSV. Sectors of 60 degrees are centred on the six colours; a hue that lies on the
    border of two sectors belongs to the colour of two years. This is the same as: the hi year is active, and
    the mid year is active if mid - lo >= (hi - lo) / 2. A negative NDAI says that the ground was more
    coherent than stable ground; it lowers lo as it is, and a saturation above 1 counts as 1.

    The intervals of hue and the limits of black and white are not published; these are this project's.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> annual = xr.DataArray(
    ...     np.array([[[0.4, 0.0, 0.4]], [[0.0, 0.0, 0.4]], [[0.0, 0.0, 0.0]]]),
    ...     dims=("year", "y", "x"), coords={"year": [2021, 2022, 2023]})
    >>> classes = classify(annual)
    >>> classes.values  # bit 0: active in 2021, bit 1: in 2022
    array([[1, 0, 3]], dtype=uint8)
    """
    source = georeferenced(source)
    if source.dims == ("year", "y", "x"):
        chosen = composite_years(source, years)
        index = source.sel(year=list(chosen)).values
        of_stable = _stable_attributes(source, chosen)
        pairs = source["pairs_in_year"].sel(year=list(chosen)).values if "pairs_in_year" in source.coords else None
    elif source.dims == ("band", "y", "x") and source.sizes["band"] == 3:
        if years is not None:
            raise OptionError("years= goes with annual NDAI; a composite has its three years already")
        first, second, third = (int(year) for year in source.attrs.get("years", (1, 2, 3)))
        chosen = first, second, third
        index = _unstretched(source)
        of_stable = source.attrs
        pairs = source["pairs_in_year"].values if "pairs_in_year" in source.coords else None
    else:
        raise ActivityError(
            f"classes come from annual NDAI (year, y, x) or a composite (band, y, x) of three, not from {source.dims}"
        )
    if not 0 <= white_saturation <= 1:
        raise OptionError(f"white_saturation={white_saturation}: must lie in 0..1")
    shown = source.assign_attrs(of_stable) if black_below is None else source
    limit = black_limit(shown, black_sigma) if black_below is None else float(black_below)
    if not -1 <= limit <= 1:
        raise OptionError(f"black_below={limit}: an NDAI lies in -1..1")
    classes = np.empty(index.shape[1:], np.uint8)
    rows = max(1, ROW_PIXELS // max(1, index.shape[2]))
    for top in range(0, index.shape[1], rows):
        part = slice(top, top + rows)
        classes[part] = hue_classes(index[:, part].astype(np.float64), limit, white_saturation)
    attrs = {
        "long_name": "years in which the ground was active, one bit each",
        "method": "published",
        "flag_values": list(range(len(CLASS_NAMES))),
        "flag_meanings": " ".join(CLASS_NAMES),
        "nodata": NO_CLASS,
        "years": list(chosen),
        **({} if pairs is None else {"pairs_in_year": [int(number) for number in pairs]}),
        "black_below": limit,
        "white_saturation": float(white_saturation),
    }
    return on_cells_of(source, ("y", "x"), classes, "classes", attrs)


def hue_classes(index: FloatArray, black_below: float, white_saturation: float) -> ByteArray:
    """Sort cells by the hue of three layers: ndarray (3, ...) in, uint8 (...) out; see `classify`."""
    from skimage.color import rgb2hsv

    hi, lo = index.max(axis=0), index.min(axis=0)
    spread = hi - lo
    with np.errstate(invalid="ignore", divide="ignore"):  # the saturation of black, which is not used
        hue = rgb2hsv(np.nan_to_num(index), channel_axis=0)[0] * 6
    sector = np.floor(hue + 0.5)
    # a hue on the border of two sectors goes to the odd one, the colour of two years
    sector = np.where((hue + 0.5 == sector) & (sector % 2 == 0), sector - 1, sector)
    classes = _HUE_CLASSES[sector.astype(np.int64) % 6]
    # without any spread there is no hue; grey is white or black
    classes = np.where((spread == 0) | (spread < white_saturation * hi), np.uint8(7), classes)
    classes = np.where(hi < black_below, np.uint8(0), classes)
    return np.where(np.isnan(spread), np.uint8(NO_CLASS), classes).astype(np.uint8)


def classes_of_years(active: xr.DataArray, years: Sequence[int] | None = None) -> xr.DataArray:
    """Put the years in which each pixel was active into one map, one bit per year.

    Parameters
    ----------
    active : DataArray (year, y, x) of uint8
        1 active, 0 not, 255 no data: of `insar_mining.activity.significant.significance.significant_activity`.
    years : sequence of int, optional
        One to thirty; default all.

    Returns
    -------
    DataArray (y, x), uint8 (up to 7 years), uint16 (15) or uint32
        Bit 0 is the first year. Three years have the codes, names and colours of the published classes. The
        largest value of the type where a year has no data. Attributes as of `classify`.

    Raises
    ------
    ActivityError
        A year is not there, or there are too many.
    """
    have = [int(year) for year in active["year"].values]
    chosen = have if years is None else [int(year) for year in years]
    missing = [year for year in chosen if year not in have]
    if not chosen or missing or len(set(chosen)) != len(chosen) or len(chosen) > MOST_YEARS:
        raise ActivityError(
            f"classes need 1 to {MOST_YEARS} different years out of {_listed(have)}, not {_listed(chosen)}"
        )
    kind = np.dtype(np.uint8 if len(chosen) <= 7 else np.uint16 if len(chosen) <= 15 else np.uint32)
    nodata = 2 ** (8 * kind.itemsize) - 1
    values = np.zeros(active.shape[1:], kind)
    missing_cells = np.zeros(values.shape, np.bool_)
    for bit, year in enumerate(chosen):
        layer = active.sel(year=year).values
        values |= (layer == 1).astype(kind) << kind.type(bit)
        missing_cells |= layer == NO_CLASS
    values[missing_cells] = nodata
    pairs = active["pairs_in_year"].sel(year=chosen).values if "pairs_in_year" in active.coords else None
    attrs = {
        "long_name": "years in which the ground was active, one bit each",
        "method": str(active.attrs.get("method", "significant")),
        **_flags(values, chosen, nodata),
        "nodata": nodata,
        "years": chosen,
        **({} if pairs is None else {"pairs_in_year": [int(number) for number in pairs]}),
    }
    return on_cells_of(active, ("y", "x"), values, "classes", attrs)


def _flags(values: npt.NDArray[np.unsignedinteger[Any]], years: Sequence[int], nodata: int) -> dict[str, Any]:
    """Return the values and meanings: the eight colours for three years, else every set of years that occurs."""
    if len(years) == 3:
        return {"flag_values": list(range(len(CLASS_NAMES))), "flag_meanings": " ".join(CLASS_NAMES)}
    found = [int(value) for value in np.unique(values) if value != nodata]
    names = ["+".join(str(year) for bit, year in enumerate(years) if value >> bit & 1) or "none" for value in found]
    return {"flag_values": found, "flag_meanings": " ".join(names)}


def black_limit(source: xr.DataArray, sigma: float = BLACK_SIGMA) -> float:
    """Return the NDAI below which ground counts as stable: mean + `sigma` sd of the stable points, else 0.1."""
    count = int(source.attrs.get("stable_ndai_count", 0))
    if count >= ENOUGH_STABLE:
        return float(source.attrs["stable_ndai_mean"] + sigma * source.attrs["stable_ndai_sd"])
    if count:
        warnings.warn(
            f"only {count} annual value(s) of stable points: black_below is {BLACK_BELOW}, not the stack's own",
            FewObservationsWarning,
            stacklevel=3,
        )
    return BLACK_BELOW


def _unstretched(rgb: xr.DataArray) -> npt.NDArray[np.float32]:
    """Return the NDAI of a composite, before the stretch if it is known."""
    if "ndai" in rgb.coords:
        return np.asarray(rgb["ndai"].values)
    if (rgb.values >= 1).any():
        logger.warning("the composite has no NDAI with it and is clipped: hue is decided on clipped values")
    return np.asarray(rgb.values * rgb.attrs.get("ceiling", CEILING))


def _stable_attributes(annual: xr.DataArray, chosen: Sequence[int]) -> dict[str, float]:
    """Return number, mean and sd of the stable points' annual NDAI in the years that are shown."""
    known = {str(key): value for key, value in annual.attrs.items() if str(key).startswith("stable_ndai_")}
    by_year = known.pop("stable_ndai_by_year", None)
    years = [int(year) for year in annual["year"].values]
    if by_year is None or len(by_year) != len(years) or set(chosen) == set(years):
        return known
    count, total, squares = np.sum([by_year[years.index(year)] for year in chosen], axis=0)
    if not count:
        return {}
    mean = total / count
    spread = max(0.0, squares / count - mean**2)
    return {"stable_ndai_count": int(count), "stable_ndai_mean": mean, "stable_ndai_sd": float(np.sqrt(spread))}


def _listed(years: Sequence[int]) -> str:
    return ", ".join(str(year) for year in years) or "none"
