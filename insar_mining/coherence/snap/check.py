"""Check a graph against the operators of a SNAP version, before SNAP is started.

SNAP itself finds such faults late, one at a time, and some of them never: a misspelt
parameter may be ignored, and a node that no other reads is not computed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from insar_mining.coherence.snap.settings import VERSIONS
from insar_mining.errors import EngineError

EXTERNAL_DEM = "External DEM"
AUTO_DOWNLOAD = " (Auto Download)"
LINE = " line"  # no name that an attribute can have
SOURCE = re.compile(r"(?P<element>[A-Za-z]+)(\.\d+)?")
PLACEHOLDER = re.compile(r"\$\{\w+\}")
NUMBERS = {"int": int, "Integer": int, "long": int, "short": int, "float": float, "double": float, "Double": float}
BOOLEANS = ("boolean", "Boolean")
# operators that are of no use with one source, though SNAP's annotations allow it
NEEDS_TWO = {"Back-Geocoding", "CreateStack", "SliceAssembly", "TOPSAR-Merge"}


@dataclass(frozen=True)
class Parameter:
    """Hold one parameter of an operator.

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
    """Hold one operator: how many sources it takes, and its parameters.

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
    """Hold the operators of one version of SNAP."""

    version: int
    operators: Mapping[str, Operator]
    dem_names: tuple[str, ...]

    def knows_dem(self, name: str) -> bool:
        """Check whether SNAP has an elevation model of this name, or takes it for an external one."""
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


@dataclass(frozen=True)
class GraphFault:
    """Hold one fault of a graph: the node and the line (from 1) where it is, and what it is."""

    node: str
    line: int
    message: str

    def __str__(self) -> str:
        """Write ``line 12, node TOPSAR-Split: ...``."""
        where = f", node {self.node}" if self.node else ""
        return f"line {self.line}{where}: {self.message}"


@dataclass(frozen=True)
class Rules:
    """Describe how a graph is to be read.

    Attributes
    ----------
    placeholders : bool
        ``${name}`` may stand for a value (a template).
    complete : bool
        Every parameter that has a default must be written out.
    """

    placeholders: bool = False
    complete: bool = False


def parse(text: str | bytes) -> Element:
    """Parse a graph; every element has the line of its start tag in the attribute :data:`LINE`.

    Raises
    ------
    xml.parsers.expat.ExpatError
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: builder.start(
        tag, {**attributes, LINE: str(parser.CurrentLineNumber)}
    )
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close()


def _line(element: Element) -> int:
    return int(element.get(LINE, 1))


def _text(element: Element) -> str:
    return (element.text or "").strip()


def check_graph(
    text: str | bytes, version: int, *, placeholders: bool = False, complete: bool = False
) -> list[GraphFault]:
    """Return the faults of a graph, in the order of its lines; an empty list if SNAP can run it.

    Checked are: XML and version, unique nodes, known operators and parameters, value
    sets, types and intervals, required parameters, elevation models, that every node
    reads what it needs from nodes that exist, that there is no circle and no leftover
    placeholder, and that everything flows into exactly one Write.

    Parameters
    ----------
    text : str or bytes
    version : int
        13 or 14; parameters marked ``since="14"`` count from that version on.
    placeholders, complete : bool
        See :class:`Rules`.

    Raises
    ------
    EngineError
        The operators of this version are not known.
    """
    known, rules = catalogue(version), Rules(placeholders, complete)
    try:
        root = parse(text)
    except expat.ExpatError as error:
        return [GraphFault("", error.lineno, f"not well-formed XML: {expat.ErrorString(error.code)}")]
    if root.tag != "graph":
        return [GraphFault("", _line(root), f"the root is <{root.tag}>, SNAP expects <graph>")]
    findings = list(_head(root))
    nodes = root.findall("node")
    if not nodes:
        findings.append(GraphFault("", _line(root), "the graph has no <node>"))
    for node in nodes:
        findings += _node(node, known, rules)
    findings += _wiring(nodes, known)
    return sorted(findings, key=lambda finding: finding.line)


def _head(root: Element) -> Iterator[GraphFault]:
    version = root.find("version")
    if version is None or _text(version) != "1.0":
        line = _line(root) if version is None else _line(version)
        yield GraphFault("", line, "<version> must be exactly 1.0")
    if not root.get("id"):
        yield GraphFault("", _line(root), "the graph has no id")
    for child in root:
        if child.tag not in ("version", "node", "header", "applicationData"):
            yield GraphFault("", _line(child), f"unknown element <{child.tag}>; a graph holds <version> and <node>")


def _name(node: Element) -> str:
    return node.get("id", "")


def _node(node: Element, known: Catalogue, rules: Rules) -> Iterator[GraphFault]:
    name = _name(node)
    if not name:
        yield GraphFault("", _line(node), "a node has no id")
    for child in node:
        if child.tag not in ("operator", "sources", "parameters"):
            yield GraphFault(name, _line(child), f"unknown element <{child.tag}>{_suggest(child.tag, _PARTS)}")
    alias = node.find("operator")
    if alias is None or not _text(alias):
        yield GraphFault(name, _line(node), "no <operator>")
        return
    operator = known.operators.get(_text(alias))
    if operator is None:
        near = _suggest(_text(alias), known.operators)
        yield GraphFault(name, _line(alias), f"SNAP {known.version} has no operator {_text(alias)!r}{near}")
        return
    parameters = node.find("parameters")
    yield from _parameters(name, _line(node), parameters, operator, known, rules)


_PARTS = ("operator", "sources", "parameters")


def _parameters(
    name: str, line: int, parameters: Element | None, operator: Operator, known: Catalogue, rules: Rules
) -> Iterator[GraphFault]:
    given = [] if parameters is None else [p for p in parameters if _counts(p, known.version)]
    for tag, times in Counter(p.tag for p in given).items():
        if times > 1:
            second = [p for p in given if p.tag == tag][1]
            yield GraphFault(name, _line(second), f"{tag} is given {times} times")
    for element in given:
        parameter = operator.parameters.get(element.tag)
        if parameter is None:
            near = _suggest(element.tag, operator.parameters)
            newer = _since(operator.name, element.tag, known.version)
            yield GraphFault(
                name,
                _line(element),
                f"{operator.name} of SNAP {known.version} has no parameter {element.tag!r}{newer or near}",
            )
        else:
            yield from _value(name, element, parameter, rules)
    present = {p.tag for p in given if _text(p) or len(p)}
    where = line if parameters is None else _line(parameters)
    for parameter in operator.parameters.values():
        if parameter.name in present:
            continue
        if parameter.required:
            yield GraphFault(name, where, f"{operator.name} needs {parameter.name}")
        elif rules.complete and parameter.default is not None:
            yield GraphFault(name, where, f"{parameter.name} is not written out (default {parameter.default!r})")
    yield from _elevation(name, given, known)


def _counts(parameter: Element, version: int) -> bool:
    """Check whether a parameter is meant for this version (``since``)."""
    since = parameter.get("since", "")
    return not since.isdigit() or int(since) <= version


def _since(operator: str, parameter: str, version: int) -> str:
    """Return the version since which a parameter exists, empty if none has it."""
    for later in VERSIONS:
        found = catalogue(later).operators.get(operator)
        if later > version and found is not None and parameter in found.parameters:
            return f'; it came with SNAP {later}, mark it since="{later}" in a template'
    return ""


def _value(name: str, element: Element, parameter: Parameter, rules: Rules) -> Iterator[GraphFault]:
    if parameter.fields:
        for item in element:
            for part in item:
                if part.tag not in parameter.fields:
                    near = _suggest(part.tag, parameter.fields)
                    yield GraphFault(name, _line(part), f"{element.tag} has no field {part.tag!r}{near}")
        return
    text = _text(element)
    if PLACEHOLDER.search(text) and rules.placeholders:
        return
    if "$" in text:
        yield GraphFault(
            name, _line(element), f"{element.tag} is {text!r}: SNAP would take what follows $ for a variable"
        )
        return
    if not text:
        return
    values = [part.strip() for part in text.split(",")] if parameter.type.endswith("[]") else [text]
    for value in values:
        fault = _fault(value, parameter)
        if fault:
            yield GraphFault(name, _line(element), f"{element.tag} is {value!r}: {fault}")


def _fault(value: str, parameter: Parameter) -> str:
    if parameter.values and value not in parameter.values:
        return f"allowed are {', '.join(parameter.values)}{_suggest(value, parameter.values)}"
    kind = parameter.type.removesuffix("[]")
    if kind in BOOLEANS and value not in ("true", "false"):
        return "must be true or false"
    if kind in NUMBERS:
        try:
            number = NUMBERS[kind](value)
        except ValueError:
            return f"must be a number ({kind})"
        if parameter.interval and not _inside(number, parameter.interval):
            return f"must lie in {parameter.interval}"
    return ""


def _inside(number: float, interval: str) -> bool:
    """Check whether a number lies in an interval in SNAP's notation.

    Examples
    --------
    >>> _inside(1, "(0, 1]"), _inside(0, "(0, 1]"), _inside(9999, "[1, *)")
    (True, False, True)
    """
    low, high = (part.strip() for part in interval[1:-1].split(","))
    above = low == "*" or number > float(low) or (interval[0] == "[" and number == float(low))
    below = high == "*" or number < float(high) or (interval[-1] == "]" and number == float(high))
    return above and below


def _elevation(name: str, given: list[Element], known: Catalogue) -> Iterator[GraphFault]:
    values = {p.tag: p for p in given}
    dem, file = values.get("demName"), values.get("externalDEMFile")
    if dem is None or PLACEHOLDER.search(_text(dem)):
        return
    if not known.knows_dem(_text(dem)):
        near = _suggest(_text(dem), known.dem_names)
        yield GraphFault(name, _line(dem), f"demName is {_text(dem)!r}, which SNAP does not know{near}")
    has_file = file is not None and bool(_text(file))
    if has_file and EXTERNAL_DEM not in _text(dem):
        yield GraphFault(
            name,
            _line(dem),
            f"externalDEMFile is given but demName is {_text(dem)!r}: Terrain-Correction would ignore the file; "
            f"write {EXTERNAL_DEM}",
        )
    if EXTERNAL_DEM in _text(dem) and not has_file:
        yield GraphFault(name, _line(dem), f"demName is {EXTERNAL_DEM} and externalDEMFile is not given")


def _wiring(nodes: list[Element], known: Catalogue) -> Iterator[GraphFault]:
    names = [_name(node) for node in nodes]
    for node, count in ((n, Counter(names)[_name(n)]) for n in nodes):
        if count > 1:
            yield GraphFault(_name(node), _line(node), f"the id {_name(node)!r} is used by {count} nodes")
    reads = {}
    for node in nodes:
        sources = node.find("sources")
        elements = [] if sources is None else list(sources)
        reads[_name(node)] = [e.get("refid", "") for e in elements]
        yield from _sources(node, elements, known, names)
    yield from _circles(nodes, reads)
    used = {source for sources in reads.values() for source in sources}
    sinks = [node for node in nodes if _name(node) not in used]
    for node in sinks:
        if node.findtext("operator") != "Write":
            yield GraphFault(_name(node), _line(node), "dangling: no node reads it, and it is no Write")
    writes = [node for node in nodes if node.findtext("operator") == "Write"]
    for node in writes[1:]:
        yield GraphFault(
            _name(node), _line(node), f"a second Write (the first is {_name(writes[0])}); one sink per graph"
        )
    if nodes and not writes:
        yield GraphFault("", _line(nodes[-1]), "the graph has no Write node, so its result would go to ./target.dim")


def _sources(node: Element, elements: list[Element], known: Catalogue, names: list[str]) -> Iterator[GraphFault]:
    name = _name(node)
    operator = known.operators.get(node.findtext("operator", "").strip())
    for tag, times in Counter(e.tag for e in elements).items():
        if times > 1:
            yield GraphFault(
                name, _line(elements[0]), f"{times} sources are called {tag}; number them {tag}.1, {tag}.2"
            )
    for element in elements:
        target = element.get("refid")
        if not target:
            yield GraphFault(name, _line(element), f"<{element.tag}> has no refid")
        elif target not in names:
            yield GraphFault(name, _line(element), f"reads from {target!r}, which is no node{_suggest(target, names)}")
        match = SOURCE.fullmatch(element.tag)
        if operator is not None and (
            match is None or match["element"] not in {"sourceProduct", "source", operator.source_element}
        ):
            yield GraphFault(name, _line(element), f"<{element.tag}> is no source; write <sourceProduct refid=.../>")
    if operator is None:
        return
    if operator.source_element is None:
        if elements:
            yield GraphFault(name, _line(elements[0]), f"{operator.name} takes no source")
    elif not elements:
        yield GraphFault(name, _line(node), f"{operator.name} has no source")
    elif operator.name in NEEDS_TWO and len(elements) < 2:
        yield GraphFault(name, _line(elements[0]), f"{operator.name} needs two sources or more, it has {len(elements)}")
    elif not operator.many and len(elements) > 1:
        yield GraphFault(name, _line(elements[1]), f"{operator.name} takes one source, it has {len(elements)}")


def _circles(nodes: list[Element], reads: dict[str, list[str]]) -> Iterator[GraphFault]:
    for node in nodes:
        reached: set[str] = set()
        ahead = list(reads[_name(node)])
        while ahead:
            source = ahead.pop()
            if source not in reached:
                reached.add(source)
                ahead += reads.get(source, [])
        if _name(node) in reached:
            yield GraphFault(_name(node), _line(node), "reads from itself, by way of its sources")


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
