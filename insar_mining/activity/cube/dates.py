"""The two dates of a coherence raster: from its name, its tags or its STAC item."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insar_mining.errors import RasterError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# before the first satellites a number of eight digits is something else than a date
FIRST_YEAR, LAST_YEAR = 1978, 2100

_DIGITS = r"(?<!\d)(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)"
_WORDS = r"(?<!\d)(\d{1,2})(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(\d{4})(?!\d)"
_DATE = re.compile(f"{_DIGITS}|{_WORDS}", re.IGNORECASE)

# what may stand between the two dates of a pair: a time of day, and underscores or hyphens
_BETWEEN = re.compile(r"(?:t\d{6})?[_\-]+", re.IGNORECASE)

_TAGS = (("REFERENCE_DATE", "SECONDARY_DATE"),)
_PROPERTIES = (
    ("reference_date", "secondary_date"),
    ("reference_datetime", "secondary_datetime"),
    ("start_datetime", "end_datetime"),
)


@dataclass(frozen=True, order=True)
class DatePair:
    """The two dates of an interferometric pair, the earlier one first.

    Attributes
    ----------
    reference, secondary : datetime64[D]
    """

    reference: np.datetime64
    secondary: np.datetime64

    @classmethod
    def of(cls, first: object, second: object, source: str = "the pair") -> DatePair:
        """Put two dates in order.

        Coherence does not change when its two images change places, so that the order
        in which a name gives the dates carries nothing.

        Raises
        ------
        RasterError
            The two dates are the same day, or one of them is not a date.
        """
        days = []
        for value in (first, second):
            try:
                day = np.datetime64(value, "D")  # type: ignore[call-overload]
            except (ValueError, TypeError) as error:
                raise RasterError(f"{source}: {value!r} is not a date; write it as 2021-01-05") from error
            if np.isnat(day):
                raise RasterError(f"{source}: a date is missing; write it as 2021-01-05")
            days.append(day)
        if days[0] == days[1]:
            raise RasterError(f"{source}: both dates are {days[0]}; a pair needs two different days")
        return cls(min(days), max(days))

    @property
    def name(self) -> str:
        """The pair's name, ``"20200105_20200117"``."""
        return pair_name(self.reference, self.secondary)

    @property
    def days(self) -> int:
        """Days between the two dates."""
        return int((self.secondary - self.reference).astype(int))

    @property
    def year(self) -> int:
        """Calendar year of the pair's middle date."""
        return year_of(self.reference, self.secondary)


def pair_name(reference: np.datetime64, secondary: np.datetime64) -> str:
    """Name a pair after its two days.

    Examples
    --------
    >>> pair_name(np.datetime64("2020-01-05"), np.datetime64("2020-01-17"))
    '20200105_20200117'
    """
    return "_".join(str(day.astype("datetime64[D]")).replace("-", "") for day in (reference, secondary))


def year_of(reference: np.datetime64, secondary: np.datetime64) -> int:
    """Calendar year of the middle date of a pair, which is the year that the pair counts for.

    Examples
    --------
    The middle of a 12-day pair that starts on 26 December is 1 January:

    >>> year_of(np.datetime64("2020-12-25"), np.datetime64("2021-01-06"))
    2020
    >>> year_of(np.datetime64("2020-12-26"), np.datetime64("2021-01-07"))
    2021
    """
    start, end = (day.astype("datetime64[D]").astype("datetime64[h]") for day in (reference, secondary))
    middle = start + (end - start) // 2
    return int(str(middle)[:4])


def dates_in_name(name: str) -> DatePair | None:
    """Find the two dates of a pair anywhere in a file name.

    Understood are ``20210105_20210117``, ``20210105-20210117``, ``2021-01-05_2021-01-17`` and
    SNAP's ``20Dec2019_01Jan2020``, each with a time of day (``T053012``) after a date if need be.
    Two times of one day (the start and stop in the name of an SLC product) are not a pair.

    Parameters
    ----------
    name : str
        File name, with or without its ending.

    Returns
    -------
    DatePair or None
        None when the name holds no pair of dates.

    Raises
    ------
    RasterError
        The name holds several different pairs.

    Examples
    --------
    >>> dates_in_name("cropA_20180106-20180130_VV_8rlks_flat_eqa_cc.tif").name
    '20180106_20180130'
    >>> dates_in_name("coh_IW1_VV_20Dec2019_01Jan2020.tif").name
    '20191220_20200101'
    >>> dates_in_name("dem_20180106.tif") is None
    True
    """
    found = sorted(set(_pairs_in(name)))
    if len(found) > 1:
        raise RasterError(
            f"{name}: its name holds several pairs of dates ({', '.join(pair.name for pair in found)}); keep one"
        )
    return found[0] if found else None


def dates_of_raster(path: Path, tags: Mapping[str, str]) -> DatePair | None:
    """Return the two dates of a raster from its tags, else its STAC item, else its name.

    What was written as data comes before what was written as a name; where two of them
    speak, they must agree.

    Parameters
    ----------
    path : Path
        The raster; its STAC item is the file of the same name that ends in ``.json``.
    tags : mapping
        The raster's tags: ``REFERENCE_DATE`` and ``SECONDARY_DATE`` are looked at.

    Raises
    ------
    RasterError
        Two sources disagree, or a date cannot be read.
    """
    sources = {
        "its tags": _dates_in_mapping(tags, _TAGS, f"tags of {path.name}"),
        "its STAC item": _dates_in_item(path.with_suffix(".json")),
    }
    known = {source: pair for source, pair in sources.items() if pair is not None}
    try:
        named = dates_in_name(path.stem)
    except RasterError:
        # a name with a third date (of processing, say) does no harm where the data speak
        if not known:
            raise
        named = None
    if named is not None:
        known["its name"] = named
    if len(set(known.values())) > 1:
        said = ", ".join(f"{source} {pair.name}" for source, pair in known.items())
        raise RasterError(f"{path}: its dates disagree ({said}); rename the file or mend its tags")
    return next(iter(known.values()), None)


def _pairs_in(name: str) -> Iterator[DatePair]:
    """Yield every two neighbouring dates of a name that form a pair."""
    dates = [(match.start(), match.end(), _day(match)) for match in _DATE.finditer(name)]
    for (_, end, first), (start, _, second) in itertools.pairwise(dates):
        if first is None or second is None or first == second:
            continue
        if _BETWEEN.fullmatch(name[end:start]):
            yield DatePair.of(first, second, name)


def _day(match: re.Match[str]) -> np.datetime64 | None:
    """Turn a match into a day; None when it is no date of the calendar."""
    if match[6]:
        year, month, day = match[7], f"{MONTHS.index(match[6].lower()) + 1:02d}", f"{int(match[5]):02d}"
    else:
        year, month, day = match[1], match[3], match[4]
    if not FIRST_YEAR <= int(year) <= LAST_YEAR:
        return None
    try:
        return np.datetime64(f"{year}-{month}-{day}", "D")
    except ValueError:
        return None


def _dates_in_mapping(values: Mapping[str, object], names: tuple[tuple[str, str], ...], source: str) -> DatePair | None:
    """Look up the first two names that are both there; a prefix as in ``insar:reference_date`` is allowed."""
    plain = {key.rsplit(":", 1)[-1]: value for key, value in values.items()}
    for first, second in names:
        if plain.get(first) and plain.get(second):
            return DatePair.of(str(plain[first]).strip()[:10], str(plain[second]).strip()[:10], source)
    return None


def _dates_in_item(path: Path) -> DatePair | None:
    """Read the dates of a STAC item; None when there is none, or it is something else."""
    try:
        properties = json.loads(path.read_text(encoding="utf-8"))["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(properties, dict):
        return None
    return _dates_in_mapping(properties, _PROPERTIES, f"STAC item {path.name}")
