"""SNAP graphs: templates found, filled in completely, and checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from insar_mining.coherence.snap.check import check_graph
from insar_mining.coherence.snap.settings import GRAPHS, VERSIONS, settings
from insar_mining.errors import OptionError, SnapGraphError
from insar_mining.options.models import SnapOptions

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NEWER = re.compile(
    r'(?P<before>[ \t]*)<(?P<tag>\w+)\s+since="(?P<since>\d+)"\s*>(?P<text>[^<]*)</(?P=tag)>(?P<after>\n?)'
)


def templates_folder(options: SnapOptions | None = None) -> Path:
    """Return the folder of the templates: the one that the options or the environment name, else the package's own.

    Raises
    ------
    OptionError
        They name no folder.
    """
    named = settings(options).graphs
    if named is not None:
        return named
    shipped = Path(__file__).parent / "graphs"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "graphs"


def template_names(folder: Path | None = None) -> list[str]:
    """Return the names of the templates of a folder, sorted."""
    return sorted(path.stem for path in (folder or templates_folder()).glob("*.xml"))


def read_template(name: str, folder: Path | None = None) -> str:
    """Return the text of a template.

    Raises
    ------
    OptionError
        There is none of this name.
    """
    folder = folder or templates_folder()
    path = folder / f"{name.removesuffix('.xml')}.xml"
    if not path.is_file():
        known = ", ".join(template_names(folder)) or "none"
        raise OptionError(f"there is no graph {name!r} in {folder}; there is {known}")
    return path.read_text(encoding="utf-8")


def placeholders_of(template: str) -> list[str]:
    """Return the names of the values that a template needs, in their order."""
    return list(dict.fromkeys(PLACEHOLDER.findall(COMMENT.sub("", template))))


def render(template: str, values: Mapping[str, object], version: int, *, name: str = "graph") -> str:
    """Fill in a template for a SNAP version, and check the result.

    Parameters
    ----------
    template : str
        Text with ``${name}`` for values, and ``since="14"`` on parameters that older
        versions of SNAP do not have.
    values : mapping
        A value for every placeholder, and no other.
    version : int
        13 or 14.
    name : str
        Of the template, for messages.

    Raises
    ------
    OptionError
        A value is missing, not asked for, or holds a ``$``, which SNAP would take for
        the beginning of a variable.
    SnapGraphError
        The result is not valid; every fault with its node and line.

    Examples
    --------
    >>> "cohWinSizeMeters" in render(read_template("interferogram"), dict(
    ...     stack="s.dim", remove_flat_earth=True, remove_topography=True, window_azimuth=2, window_range=7,
    ...     dem="dem.tif", dem_nodata=-32768, polarisation="VV", target="t.dim"), 13)
    False
    """
    wanted = placeholders_of(template)
    missing = [key for key in wanted if key not in values]
    extra = sorted(set(values) - set(wanted))
    if missing or extra:
        complaints = [f"needs {', '.join(missing)}"] * bool(missing) + [f"does not use {', '.join(extra)}"] * bool(
            extra
        )
        raise OptionError(f"graph {name!r} {' and '.join(complaints)}")
    texts = {key: _text(values[key]) for key in wanted}
    for key, text in texts.items():
        if "$" in text or not text:
            raise OptionError(f"graph {name!r}: {key} is {text!r}; SNAP takes no empty value and none with a $ in it")
    filled = PLACEHOLDER.sub(
        lambda match: escape(texts[match[1]]) if match[1] in texts else match[0], _for(template, version)
    )
    refuse_faults(filled, version, name=name)
    return filled


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def _for(template: str, version: int) -> str:
    """Leave out the parameters that a version does not have, and the marks of the others."""

    def choose(match: re.Match[str]) -> str:
        if int(match["since"]) > version:
            return ""
        return f"{match['before']}<{match['tag']}>{match['text']}</{match['tag']}>{match['after']}"

    return NEWER.sub(choose, template)


def refuse_faults(graph: str, version: int, *, name: str) -> None:
    """Check a rendered graph.

    Raises
    ------
    SnapGraphError
    """
    findings = check_graph(graph, version)
    if findings:
        raise SnapGraphError(
            f"graph {name!r} is not valid for SNAP {version}: {'; '.join(map(str, findings))}. Mend the template, or "
            f"unset {GRAPHS} to use the package's own"
        )


def known_version(version: tuple[int, ...] | None) -> int:
    """Return the catalogue to use for an installed version: its own, else the nearest."""
    if not version:
        return VERSIONS[0]
    return min(VERSIONS, key=lambda known: abs(known - version[0]))
