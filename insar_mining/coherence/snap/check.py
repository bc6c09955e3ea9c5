"""Check a graph against the operators of a SNAP version, before SNAP is started.

SNAP itself finds such faults late, one at a time, and some of them never: a misspelt
parameter may be taken for nothing, a node that nobody reads is just not computed.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from insar_mining.coherence.snap.catalogue import EXTERNAL_DEM, VERSIONS, Catalogue, Operator, Parameter, catalogue
from insar_mining.coherence.snap.xmltree import Element, MalformedXmlError, parse

SOURCE = re.compile(r"(?P<element>[A-Za-z]+)(\.\d+)?")
PLACEHOLDER = re.compile(r"\$\{\w+\}")
NUMBERS = {"int": int, "Integer": int, "long": int, "short": int, "float": float, "double": float, "Double": float}
BOOLEANS = ("boolean", "Boolean")
# operators that are of no use with one source, though SNAP's annotations allow it
NEEDS_TWO = {"Back-Geocoding", "CreateStack", "SliceAssembly", "TOPSAR-Merge"}


@dataclass(frozen=True)
class Finding:
    """One fault of a graph: the node and the line (from 1) where it is, and what it is."""

    node: str
    line: int
    message: str

    def __str__(self) -> str:
        """Write ``line 12, node TOPSAR-Split: ...``."""
        where = f", node {self.node}" if self.node else ""
        return f"line {self.line}{where}: {self.message}"


@dataclass(frozen=True)
class Rules:
    """How a graph is to be read.

    Attributes
    ----------
    placeholders : bool
        ``${name}`` may stand for a value (a template).
    complete : bool
        Every parameter that has a default must be written out.
    """

    placeholders: bool = False
    complete: bool = False


def check_graph(
    text: str | bytes, version: int, *, placeholders: bool = False, complete: bool = False
) -> list[Finding]:
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
    except MalformedXmlError as error:
        return [Finding("", error.line, f"not well-formed XML: {error}")]
    if root.tag != "graph":
        return [Finding("", root.line, f"the root is <{root.tag}>, SNAP expects <graph>")]
    findings = list(_head(root))
    nodes = list(root.all("node"))
    if not nodes:
        findings.append(Finding("", root.line, "the graph has no <node>"))
    for node in nodes:
        findings += _node(node, known, rules)
    findings += _wiring(nodes, known)
    return sorted(findings, key=lambda finding: finding.line)


def _head(root: Element) -> Iterator[Finding]:
    version = root.child("version")
    if version is None or version.text.strip() != "1.0":
        line = root.line if version is None else version.line
        yield Finding("", line, "<version> must be exactly 1.0")
    if not root.attributes.get("id"):
        yield Finding("", root.line, "the graph has no id")
    for child in root.children:
        if child.tag not in ("version", "node", "header", "applicationData"):
            yield Finding("", child.line, f"unknown element <{child.tag}>; a graph holds <version> and <node>")


def _name(node: Element) -> str:
    return node.attributes.get("id", "")


def _node(node: Element, known: Catalogue, rules: Rules) -> Iterator[Finding]:
    name = _name(node)
    if not name:
        yield Finding("", node.line, "a node has no id")
    for child in node.children:
        if child.tag not in ("operator", "sources", "parameters"):
            yield Finding(name, child.line, f"unknown element <{child.tag}>{_suggest(child.tag, _PARTS)}")
    alias = node.child("operator")
    if alias is None or not alias.text.strip():
        yield Finding(name, node.line, "no <operator>")
        return
    operator = known.operators.get(alias.text.strip())
    if operator is None:
        near = _suggest(alias.text.strip(), known.operators)
        yield Finding(name, alias.line, f"SNAP {known.version} has no operator {alias.text.strip()!r}{near}")
        return
    parameters = node.child("parameters")
    yield from _parameters(name, node.line, parameters, operator, known, rules)


_PARTS = ("operator", "sources", "parameters")


def _parameters(
    name: str, line: int, parameters: Element | None, operator: Operator, known: Catalogue, rules: Rules
) -> Iterator[Finding]:
    given = [] if parameters is None else [p for p in parameters.children if _counts(p, known.version)]
    for tag, times in Counter(p.tag for p in given).items():
        if times > 1:
            second = [p for p in given if p.tag == tag][1]
            yield Finding(name, second.line, f"{tag} is given {times} times")
    for element in given:
        parameter = operator.parameters.get(element.tag)
        if parameter is None:
            near = _suggest(element.tag, operator.parameters)
            newer = _since(operator.name, element.tag, known.version)
            yield Finding(
                name,
                element.line,
                f"{operator.name} of SNAP {known.version} has no parameter {element.tag!r}{newer or near}",
            )
        else:
            yield from _value(name, element, parameter, rules)
    present = {p.tag for p in given if p.text.strip() or p.children}
    where = line if parameters is None else parameters.line
    for parameter in operator.parameters.values():
        if parameter.name in present:
            continue
        if parameter.required:
            yield Finding(name, where, f"{operator.name} needs {parameter.name}")
        elif rules.complete and parameter.default is not None:
            yield Finding(name, where, f"{parameter.name} is not written out (default {parameter.default!r})")
    yield from _elevation(name, given, known)


def _counts(parameter: Element, version: int) -> bool:
    """Tell whether a parameter is meant for this version (``since``)."""
    since = parameter.attributes.get("since", "")
    return not since.isdigit() or int(since) <= version


def _since(operator: str, parameter: str, version: int) -> str:
    """Say from which version on a parameter exists, empty if in none."""
    for later in VERSIONS:
        found = catalogue(later).operators.get(operator)
        if later > version and found is not None and parameter in found.parameters:
            return f'; it came with SNAP {later}, mark it since="{later}" in a template'
    return ""


def _value(name: str, element: Element, parameter: Parameter, rules: Rules) -> Iterator[Finding]:
    if parameter.fields:
        for item in element.children:
            for part in item.children:
                if part.tag not in parameter.fields:
                    near = _suggest(part.tag, parameter.fields)
                    yield Finding(name, part.line, f"{element.tag} has no field {part.tag!r}{near}")
        return
    text = element.text.strip()
    if PLACEHOLDER.search(text) and rules.placeholders:
        return
    if "$" in text:
        yield Finding(name, element.line, f"{element.tag} is {text!r}: SNAP would take what follows $ for a variable")
        return
    if not text:
        return
    values = [part.strip() for part in text.split(",")] if parameter.type.endswith("[]") else [text]
    for value in values:
        fault = _fault(value, parameter)
        if fault:
            yield Finding(name, element.line, f"{element.tag} is {value!r}: {fault}")


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
    """Tell whether a number lies in an interval in SNAP's notation.

    Examples
    --------
    >>> _inside(1, "(0, 1]"), _inside(0, "(0, 1]"), _inside(9999, "[1, *)")
    (True, False, True)
    """
    low, high = (part.strip() for part in interval[1:-1].split(","))
    above = low == "*" or number > float(low) or (interval[0] == "[" and number == float(low))
    below = high == "*" or number < float(high) or (interval[-1] == "]" and number == float(high))
    return above and below


def _elevation(name: str, given: list[Element], known: Catalogue) -> Iterator[Finding]:
    values = {p.tag: p for p in given}
    dem, file = values.get("demName"), values.get("externalDEMFile")
    if dem is None or PLACEHOLDER.search(dem.text):
        return
    if not known.knows_dem(dem.text.strip()):
        near = _suggest(dem.text.strip(), known.dem_names)
        yield Finding(name, dem.line, f"demName is {dem.text.strip()!r}, which SNAP does not know{near}")
    has_file = file is not None and bool(file.text.strip())
    if has_file and EXTERNAL_DEM not in dem.text:
        yield Finding(
            name,
            dem.line,
            f"externalDEMFile is given but demName is {dem.text.strip()!r}: Terrain-Correction would ignore the file; "
            f"write {EXTERNAL_DEM}",
        )
    if EXTERNAL_DEM in dem.text and not has_file:
        yield Finding(name, dem.line, f"demName is {EXTERNAL_DEM} and externalDEMFile is not given")


def _wiring(nodes: list[Element], known: Catalogue) -> Iterator[Finding]:
    names = [_name(node) for node in nodes]
    for node, count in ((n, Counter(names)[_name(n)]) for n in nodes):
        if count > 1:
            yield Finding(_name(node), node.line, f"the id {_name(node)!r} is used by {count} nodes")
    reads = {}
    for node in nodes:
        sources = node.child("sources")
        elements = [] if sources is None else sources.children
        reads[_name(node)] = [e.attributes.get("refid", "") for e in elements]
        yield from _sources(node, elements, known, names)
    yield from _circles(nodes, reads)
    used = {source for sources in reads.values() for source in sources}
    sinks = [node for node in nodes if _name(node) not in used]
    for node in sinks:
        if node.value("operator") != "Write":
            yield Finding(_name(node), node.line, "dangling: no node reads it, and it is no Write")
    writes = [node for node in nodes if node.value("operator") == "Write"]
    for node in writes[1:]:
        yield Finding(_name(node), node.line, f"a second Write (the first is {_name(writes[0])}); one sink per graph")
    if nodes and not writes:
        yield Finding("", nodes[-1].line, "the graph has no Write node, so its result would go to ./target.dim")


def _sources(node: Element, elements: list[Element], known: Catalogue, names: list[str]) -> Iterator[Finding]:
    name = _name(node)
    operator = known.operators.get(node.value("operator") or "")
    for tag, times in Counter(e.tag for e in elements).items():
        if times > 1:
            yield Finding(name, elements[0].line, f"{times} sources are called {tag}; number them {tag}.1, {tag}.2")
    for element in elements:
        target = element.attributes.get("refid")
        if not target:
            yield Finding(name, element.line, f"<{element.tag}> has no refid")
        elif target not in names:
            yield Finding(name, element.line, f"reads from {target!r}, which is no node{_suggest(target, names)}")
        match = SOURCE.fullmatch(element.tag)
        if operator is not None and (
            match is None or match["element"] not in {"sourceProduct", "source", operator.source_element}
        ):
            yield Finding(name, element.line, f"<{element.tag}> is no source; write <sourceProduct refid=.../>")
    if operator is None:
        return
    if operator.source_element is None:
        if elements:
            yield Finding(name, elements[0].line, f"{operator.name} takes no source")
    elif not elements:
        yield Finding(name, node.line, f"{operator.name} has no source")
    elif operator.name in NEEDS_TWO and len(elements) < 2:
        yield Finding(name, elements[0].line, f"{operator.name} needs two sources or more, it has {len(elements)}")
    elif not operator.many and len(elements) > 1:
        yield Finding(name, elements[1].line, f"{operator.name} takes one source, it has {len(elements)}")


def _circles(nodes: list[Element], reads: dict[str, list[str]]) -> Iterator[Finding]:
    for node in nodes:
        reached: set[str] = set()
        ahead = list(reads[_name(node)])
        while ahead:
            source = ahead.pop()
            if source not in reached:
                reached.add(source)
                ahead += reads.get(source, [])
        if _name(node) in reached:
            yield Finding(_name(node), node.line, "reads from itself, by way of its sources")


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
