"""Write numbers, dates and explanations for readers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import PurePath

import numpy as np
import pandas as pd
import yaml

UNKNOWN = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

METHOD_NAMES = {
    "published": "published method (relative to the other years)",
    "significant": "control ground (each year on its own)",
}

METHOD_WORDS = {
    "published": (
        "This report follows the published method (Jolleys et al., Climate TRACE, 2024): the annual change maps of "
        "three years are laid over each other as red, green and blue light, and the mixed colour of a cell decides in "
        "which years it counts as active."
    ),
    "significant": (
        "Every cell is compared, pair by pair, with ground around the mine that is usually as coherent as it. It "
        "counts as active in a year when it lost more coherence than that ground, by more than chance explains. "
        "Each year is decided on its own."
    ),
}

METHOD_CAVEATS = {
    "published": (
        "Under the published method a year is judged against the other years shown with it. The same year can get "
        "another area beside other years; compare areas inside one report rather than between reports.",
        "The published method gives no uncertainty. An empty interval means that none was estimated, not that the "
        "area is exact.",
    ),
    "significant": (
        "The interval covers chance in the radar data and ground that these pairs could not tell. It does not cover "
        "an outline that misses part of the mine.",
        "Ground that is never coherent may be worked throughout, or water, forest or wet tailings. Coherence cannot "
        "tell them apart; a mask of water, a vegetation index or a map of land cover can.",
    ),
}

GENERAL_CAVEATS = (
    "Active means that the surface changed between two radar images, by digging, dumping or driving. It does not say "
    "what was moved, nor how much.",
    "Vegetation, open water and wet tailings also change between images and may be counted; steep slopes that the "
    "radar cannot see are missed.",
    "The annual map shows how often ground changed rather than how much: ground worked for two weeks in a year looks "
    "much calmer than ground worked every week.",
)


def number(value: object) -> float:
    """Convert a table's value to a float, NaN where it is missing in any of pandas' ways."""
    return math.nan if value is None or pd.isna(value) else float(value)  # type: ignore[call-overload,arg-type]


def whole(value: float | int) -> str:
    """Write a whole number with thousands separated.

    Examples
    --------
    >>> whole(185431), whole(float("nan")) == UNKNOWN
    ('185,431', True)
    """
    return f"{value:,.0f}" if math.isfinite(value) else UNKNOWN


def decimals_for(values: Iterable[float]) -> int:
    """Return the number of decimals that give the largest value four digits, two to six.

    Examples
    --------
    >>> decimals_for([18.5431, 12.3123]), decimals_for([0.51, 0.2]), decimals_for([])
    (2, 4, 2)
    """
    finite = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not finite:
        return 2
    return min(max(3 - math.floor(math.log10(max(finite))), 2), 6)


def fixed(value: float, decimals: int) -> str:
    """Write a number with fixed decimals and thousands separated, or a dash if it is not known."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else UNKNOWN


def signed(value: float, decimals: int) -> str:
    """Write a number with its sign and a true minus.

    Examples
    --------
    >>> signed(12.34, 1), signed(-12.34, 1) == MINUS + "12.3"
    ('+12.3', True)
    """
    return f"{value:+,.{decimals}f}".replace("-", MINUS) if math.isfinite(value) else UNKNOWN


def change(value: float, before: float) -> str:
    """Write a relative change in per cent with its sign.

    Examples
    --------
    >>> change(19.2185, 18.5431), change(1.0, 0.0), change(float("nan"), 1.0) == UNKNOWN
    ('+3.6 %', 'from none', True)
    """
    if not (math.isfinite(value) and math.isfinite(before)):
        return UNKNOWN
    if before == 0:
        return "still none" if value == 0 else "from none"
    return f"{100 * (value - before) / before:+.1f} %".replace("-", MINUS)


def day(value: object) -> str:
    """Write a date in words.

    Examples
    --------
    >>> day("2023-09-04")
    '4 September 2023'
    """
    moment = np.datetime64(str(value) if isinstance(value, str | date) else value, "D")  # type: ignore[call-overload]
    if np.isnat(moment):
        return UNKNOWN
    plain = moment.item()
    return f"{plain.day} {plain:%B %Y}"


def in_words(items: Sequence[object]) -> str:
    """Join items by commas and a last "and".

    Examples
    --------
    >>> in_words([2021, 2022, 2023])
    '2021, 2022 and 2023'
    """
    texts = [str(item) for item in items]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "none"


def plain(value: object) -> object:
    """Convert a value to what YAML can write: mappings, lists, text, numbers and booleans."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, date | datetime | PurePath):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def as_yaml(run: Mapping[str, object] | str) -> str:
    """Write the record of a run as YAML; text is returned unchanged."""
    if isinstance(run, str):
        return run
    return str(yaml.safe_dump(plain(run), sort_keys=False, allow_unicode=True, width=100))


def flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text) of every leaf of nested mappings; long lists are counted, not listed."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and (len(value) > 8 or any(isinstance(item, Mapping) for item in value)):
        yield name, f"{len(value)} entries, listed below"
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(item) for item in value) if value else "none"
    else:
        yield name, UNKNOWN if value is None else str(value)
