"""What the operators of a SNAP version take: parameters, defaults, allowed values, sources.

The facts lie in ``operators.json`` beside this module, read from the annotations of
SNAP's Java sources; its first entry says from which commits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from insar_mining.errors import EngineError

VERSIONS = (13, 14)
"""Versions of SNAP whose operators are known, oldest first."""

EXTERNAL_DEM = "External DEM"
AUTO_DOWNLOAD = " (Auto Download)"


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operator.

    Attributes
    ----------
    type : str
        Java type as SNAP declares it: ``int``, ``Boolean``, ``String[]``, ``File`` ...
    default : str or None
        None where SNAP declares none.
    values : tuple of str
        Allowed values; empty if any is.
    interval : str or None
        Allowed numbers, such as ``(0, 1]`` or ``[1, *)``.
    fields : tuple of str
        Names of the elements of a structured array's items.
    """

    name: str
    type: str
    default: str | None = None
    values: tuple[str, ...] = ()
    interval: str | None = None
    required: bool = False
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operator:
    """One operator: how many sources it takes, and its parameters.

    Attributes
    ----------
    source_element : str or None
        Name of the element in ``<sources>``; None if it takes no source.
    many : bool
        It takes any number of sources.
    """

    name: str
    source_element: str | None
    many: bool
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True)
class Catalogue:
    """The operators of one version of SNAP."""

    version: int
    operators: Mapping[str, Operator]
    dem_names: tuple[str, ...]

    def knows_dem(self, name: str) -> bool:
        """Tell whether SNAP has an elevation model of this name, or takes it for an external one."""
        return EXTERNAL_DEM in name or name.removesuffix(AUTO_DOWNLOAD) in self.dem_names


@lru_cache
def catalogue(version: int) -> Catalogue:
    """Return the operators of a SNAP version.

    Raises
    ------
    EngineError
        The version is not among :data:`VERSIONS`.

    Examples
    --------
    >>> catalogue(14).operators["Interferogram"].parameters["cohWinAz"].default
    '10'
    >>> "cohWinSizeMeters" in catalogue(13).operators["Interferogram"].parameters
    False
    """
    if version not in VERSIONS:
        raise EngineError(
            f"the operators of SNAP {version} are not known; known are {' and '.join(map(str, VERSIONS))}, "
            "choose the nearest"
        )
    facts = _facts()
    operators = {
        name: _operator(name, entry, version)
        for name, entry in facts["operators"].items()
        if entry.get("since", VERSIONS[0]) <= version
    }
    return Catalogue(version, operators, tuple(facts["provenance"]["dem_names"]))


@lru_cache(maxsize=1)
def _facts() -> dict[str, Any]:
    text = (resources.files("insar_mining.coherence.snap") / "operators.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts


def _operator(name: str, entry: Mapping[str, Any], version: int) -> Operator:
    sources = entry["sources"]
    return Operator(
        name=name,
        source_element=sources[0]["element"] if sources else None,
        many=any(source["many"] for source in sources),
        parameters={
            key: _parameter(key, value, version)
            for key, value in entry["parameters"].items()
            if value.get("since", VERSIONS[0]) <= version
        },
    )


def _parameter(name: str, entry: Mapping[str, Any], version: int) -> Parameter:
    facts = {**entry, **entry.get(f"in_{version}", {})}
    return Parameter(
        name=name,
        type=facts["type"],
        default=facts.get("default"),
        values=tuple(facts.get("values", ())),
        interval=facts.get("interval"),
        required=facts.get("required", False),
        fields=tuple(facts.get("fields", ())),
    )
