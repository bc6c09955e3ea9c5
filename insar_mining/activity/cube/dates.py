"""The two dates of a coherence raster: from its name, its folder, its tags or its STAC item."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from insar_mining.doors import parse_json
from insar_mining.errors import RasterError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# before the first satellites a number of eight digits is something else than a date
FIRST_YEAR, LAST_YEAR = 1978, 2100

# start and stop of one product are minutes apart; no satellite repeats its track within a day
ONE_PRODUCT = np.timedelta64(1, "D")
DAY_S = 86_400

_TIME = (
    r"(?:(?:%20)?(?P<time>T\d{2}:?\d{2}(?::?\d{2})?|[_\- ]?\d{2}:\d{2}(?::\d{2})?|[_\- ]?\d{6})"
    r"(?:\.\d+)?Z?(?!\d))?"
)
_NUMBERS = r"(?<!\d)(?P<year>\d{4})(?P<mark>[-_.]?)(?P<month>\d{2})(?P=mark)(?P<day>\d{2})(?:(?!\d)|(?=\d{6}(?!\d)))"
_WORDS = (
    rf"(?<!\d)(?P<wordday>\d{{1,2}})[-_ ]?(?P<word>{'|'.join(MONTHS)})[a-z]{{0,6}}[-_ ]?(?P<wordyear>\d{{4}})(?!\d)"
)
_DATE = re.compile(f"(?:{_NUMBERS}|{_WORDS}){_TIME}", re.IGNORECASE)

# short dates are believed only as a pair, and only where no full date stands: 210105-210117, and 2021004_2021016,
# which is year and day of the year, counted from 0 (GMTSAR)
_SHORT = re.compile(r"(?<![\dT.])(\d{6})[-_](\d{6})(?!\d)", re.IGNORECASE)
_ORDINAL = re.compile(r"(?<!\d)(\d{4})(\d{3})[-_](\d{4})(\d{3})(?!\d)")

# what may stand between the two dates of a pair
_BETWEEN = re.compile(r"[_\-. ]*(?:_to_|-to-| to )?[_\-. ]*|to", re.IGNORECASE)

_TAGS = (
    ("REFERENCE_DATE", "SECONDARY_DATE"),
    ("REFERENCE_DATETIME", "SECONDARY_DATETIME"),
    ("MASTER_DATE", "SLAVE_DATE"),
    ("FIRST_DATE", "SECOND_DATE"),
)
_PAIR_TAGS = ("DATE12", "PAIR")
_PROPERTIES = (
    ("reference_date", "secondary_date"),
    ("reference_datetime", "secondary_datetime"),
    ("start_datetime", "end_datetime"),
)


@dataclass(frozen=True, order=True)
class DatePair:
    """Hold the two dates of an interferometric pair, the earlier one first.

    Attributes
    ----------
    reference, secondary : datetime64[D]
    span_s : int, optional
        Seconds between the two images, where their times of day are known.
    time_s : int, optional
        Time of day of the reference, seconds, where it is known.
    """

    reference: np.datetime64
    secondary: np.datetime64
    span_s: int | None = field(default=None, compare=False)
    time_s: int | None = field(default=None, compare=False)

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
                # numpy would take the text 20210105 for a year
                day = moment_of(value).astype("datetime64[D]") if isinstance(value, str) else np.datetime64(value, "D")  # type: ignore[call-overload]
            except (ValueError, TypeError) as error:
                raise RasterError(f"{source}: {value!r} is not a date. Write it as 2021-01-05.") from error
            if np.isnat(day):
                raise RasterError(f"{source}: a date is missing. Write it as 2021-01-05.")
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
        """Days between the two images; of images just before and just after midnight the true number."""
        if self.span_s is not None:
            return round(self.span_s / DAY_S)
        return int((self.secondary - self.reference).astype(int))

    @property
    def year(self) -> int:
        """Calendar year of the pair's middle date."""
        return year_of(self.reference, self.secondary)


@dataclass(frozen=True)
class _Moment:
    """Hold a date in a name, with the time of day if one follows it."""

    start: int
    end: int
    day: np.datetime64
    time_s: int | None

    @property
    def instant(self) -> np.datetime64:
        return np.datetime64(str(self.day)) + np.timedelta64(self.time_s or 0, "s")


def pair_name(reference: np.datetime64, secondary: np.datetime64) -> str:
    """Name a pair after its two days.

    Examples
    --------
    >>> pair_name(np.datetime64("2020-01-05"), np.datetime64("2020-01-17"))
    '20200105_20200117'
    """
    return "_".join(str(day.astype("datetime64[D]")).replace("-", "") for day in (reference, secondary))


def year_of(reference: np.datetime64, secondary: np.datetime64) -> int:
    """Return the calendar year of the middle date of a pair, which is the year that the pair counts for.

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

    Understood are ``20210105_20210117``, ``20210105-20210117``, ``2021-01-05_2021-01-17``, ``2021.01.05``,
    SNAP's ``20Dec2019_01Jan2020``, each with a time of day (``T053012``) after a date if need be; where no such date
    stands, ``210105-210117`` and GMTSAR's ``2021004_2021016`` (day of the year, counted from 0).
    Two times less than a day apart (the start and stop in the name of one product, also across midnight) are one
    date; names of two products are a pair.

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
    moments = list(_moments_in(name))
    found = _distinct(_neighbours(name, moments))
    if not found:
        found = _of_two_products(moments)
    if not found and not moments:
        found = _distinct(_short_pairs(name))
    if len(found) > 1:
        raise RasterError(
            f"{name}: its name holds several pairs of dates ({', '.join(pair.name for pair in found)}). Keep one."
        )
    return found[0] if found else None


def product_dates_in_name(name: str) -> bool:
    """Check whether a name holds only times less than a day apart, as that of one product does."""
    moments = list(_moments_in(name))
    return len(moments) > 1 and len(_clusters(moments)) == 1


def dates_of_raster(path: Path, tags: Mapping[str, str], root: Path | None = None) -> DatePair | None:
    """Return the two dates of a raster from its tags, else its STAC item, its name or its folder's.

    What was written as data comes before what was written as a name; where two of them
    speak, they must agree. A folder is asked only if nothing else has dates.

    Parameters
    ----------
    path : Path
        The raster; its STAC item is the file of the same name that ends in ``.json``.
    tags : mapping
        The raster's tags: ``REFERENCE_DATE`` and ``SECONDARY_DATE``, or ``DATE12``, are looked at.
    root : Path, optional
        Folders below it may carry the dates; without it none is looked at.

    Raises
    ------
    RasterError
        Two sources disagree, or a date cannot be read.
    """
    sources = {
        "its tags": _dates_in_tags(tags, f"tags of {path.name}"),
        "its STAC item": _dates_in_item(path.with_suffix(".json")),
    }
    known = {source: pair for source, pair in sources.items() if pair is not None}
    try:
        named = dates_in_name(path.stem)
    except RasterError:
        # a name with a third date (of processing, say) does no harm where the data hold dates
        if not known:
            raise
        named = None
    if named is not None:
        known["its name"] = named
    if len(set(known.values())) > 1:
        said = ", ".join(f"{source} {pair.name}" for source, pair in known.items())
        raise RasterError(f"{path}: its dates disagree ({said}). Rename the file or mend its tags.")
    if known:
        # the name may know the times of day, which the tags lack
        return min(known.values(), key=lambda pair: pair.span_s is None)
    return dates_of_folders(path, root)


def dates_of_folders(path: Path, root: Path | None) -> DatePair | None:
    """Return the two dates in the name of the nearest folder of a file, below a root, that has them."""
    if root is None:
        return None
    folders = [folder for folder in path.parents if root in folder.parents]
    return next((pair for folder in folders if (pair := dates_in_name(folder.name)) is not None), None)


def pair_of_moments(first: np.datetime64, second: np.datetime64) -> DatePair | None:
    """Make a pair of two instants; None where they are less than a day apart or no dates."""
    if np.isnat(first) or np.isnat(second):
        return None
    start, end = sorted((first.astype("datetime64[s]"), second.astype("datetime64[s]")))
    if end - start < ONE_PRODUCT:
        return None
    days = start.astype("datetime64[D]"), end.astype("datetime64[D]")
    timed = any(day.astype("datetime64[s]") != instant for day, instant in zip(days, (start, end), strict=True))
    if not timed:
        return DatePair(*days)
    return DatePair(*days, int((end - start).astype(int)), int((start - days[0].astype("datetime64[s]")).astype(int)))


def _moments_in(name: str) -> Iterator[_Moment]:
    """Yield every date of a name, with its time of day."""
    for match in _DATE.finditer(name):
        day = _day(match)
        if day is not None:
            yield _Moment(match.start(), match.end(), day, _seconds(match["time"]))


def _neighbours(name: str, moments: list[_Moment]) -> Iterator[DatePair]:
    """Yield every two neighbouring dates of a name that form a pair."""
    for one, other in itertools.pairwise(moments):
        if _BETWEEN.fullmatch(name[one.end : other.start]) and (pair := _pair_of(one, other)) is not None:
            yield pair


def _pair_of(one: _Moment, other: _Moment) -> DatePair | None:
    """Make a pair of two dates of a name; None for one day twice, or times less than a day apart."""
    if one.day == other.day:
        return None
    if one.time_s is None or other.time_s is None:
        return DatePair(min(one.day, other.day), max(one.day, other.day))
    return pair_of_moments(one.instant, other.instant)


def _of_two_products(moments: list[_Moment]) -> list[DatePair]:
    """Return the pair of two products whose names, each with start and stop, make up a name."""
    if len(moments) < 2 or any(moment.time_s is None for moment in moments):
        return []
    clusters = _clusters(moments)
    pair = pair_of_moments(clusters[0][0].instant, clusters[1][0].instant) if len(clusters) == 2 else None
    return [] if pair is None else [pair]


def _clusters(moments: list[_Moment]) -> list[list[_Moment]]:
    """Put times that are less than a day apart together; dates without a time only with the same day."""
    clusters: list[list[_Moment]] = []
    for moment in sorted(moments, key=lambda moment: moment.instant):
        last = clusters[-1][-1] if clusters else None
        timed = last is not None and last.time_s is not None and moment.time_s is not None
        near = last is not None and (moment.instant - last.instant < ONE_PRODUCT if timed else moment.day == last.day)
        if near:
            clusters[-1].append(moment)
        else:
            clusters.append([moment])
    return clusters


def _short_pairs(name: str) -> Iterator[DatePair]:
    """Yield pairs of six-digit dates, or of years and days of the year."""
    for match in _SHORT.finditer(name):
        days = [_calendar_day(f"20{part[:2]}", part[2:4], part[4:]) for part in match.groups()]
        first, second = days
        if first is not None and second is not None and first != second:
            yield DatePair(min(first, second), max(first, second))
    for match in _ORDINAL.finditer(name):
        ordinals = [(int(match[1]), int(match[2])), (int(match[3]), int(match[4]))]
        if all(FIRST_YEAR <= year <= LAST_YEAR and day <= 366 for year, day in ordinals):
            first, second = (np.datetime64(f"{year}-01-01") + np.timedelta64(day, "D") for year, day in ordinals)
            if first != second:
                yield DatePair(min(first, second), max(first, second))


def _distinct(pairs: Iterator[DatePair]) -> list[DatePair]:
    """Return every pair once, in order."""
    return sorted(set(pairs))


def _day(match: re.Match[str]) -> np.datetime64 | None:
    """Turn a match into a day; None when it is no date of the calendar."""
    if match["word"]:
        month = f"{MONTHS.index(match['word'].lower()) + 1:02d}"
        return _calendar_day(match["wordyear"], month, f"{int(match['wordday']):02d}")
    return _calendar_day(match["year"], match["month"], match["day"])


def _calendar_day(year: str, month: str, day: str) -> np.datetime64 | None:
    """Return a day; None outside the calendar or the years of satellites."""
    if not FIRST_YEAR <= int(year) <= LAST_YEAR:
        return None
    try:
        return np.datetime64(f"{year}-{month}-{day}", "D")
    except ValueError:
        return None


def _seconds(text: str | None) -> int | None:
    """Turn a time of day, ``053012`` or ``05:30:12``, into seconds; None when it is none."""
    if text is None:
        return None
    digits = re.sub(r"\D", "", text).ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 and seconds < 61 else None


def _dates_in_tags(tags: Mapping[str, str], source: str) -> DatePair | None:
    """Read the dates among a raster's tags: two of them, or one that holds a pair."""
    found = _dates_in_mapping(tags, _TAGS, source)
    plain = {key.upper(): str(value) for key, value in tags.items()}
    for name in _PAIR_TAGS:
        if found is None and plain.get(name):
            found = dates_in_name(plain[name])
    return found


def _dates_in_mapping(values: Mapping[str, object], names: tuple[tuple[str, str], ...], source: str) -> DatePair | None:
    """Look up the first two names that are both there; a prefix as in ``insar:reference_date`` is allowed."""
    plain = {key.rsplit(":", 1)[-1]: value for key, value in values.items()}
    for first, second in names:
        if plain.get(first) and plain.get(second):
            texts = [str(plain[name]).strip() for name in (first, second)]
            try:
                pair = pair_of_moments(*(moment_of(text) for text in texts))
            except ValueError:
                pair = DatePair.of(texts[0][:10], texts[1][:10], source)
            if pair is not None or first != "start_datetime":
                # data that name one day twice are wrong; the start and stop of one scene are not a pair
                return pair or DatePair.of(texts[0][:10], texts[1][:10], source)
    return None


def moment_of(text: str) -> np.datetime64:
    """Turn the text of a date, or of a moment in UTC, into seconds; also ``20210105`` and ``20210105T060000``.

    Raises
    ------
    ValueError
        It is neither, or outside the years of satellites.
    """
    text = text.strip()
    if text == "NaT":
        return np.datetime64("NaT", "s")
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{text!r:.40} is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return np.datetime64(moment, "s")


def _dates_in_item(path: Path) -> DatePair | None:
    """Read the dates of a STAC item; None when there is none, or it is something else."""
    try:
        properties = parse_json(path.read_bytes())["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(properties, dict):
        return None
    return _dates_in_mapping(properties, _PROPERTIES, f"STAC item {path.name}")
