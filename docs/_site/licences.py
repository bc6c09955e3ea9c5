"""List the licences of everything that the package imports, installs and ships."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

# what lies in the package or the repository and was made by others
SHIPPED = (
    ("insar_mining/data/egm96_15.tif", "EGM96 geoid, NGA, as distributed with PROJ", "public domain"),
    (
        "insar_mining/simulate/templates/",
        "annotation and manifest of a Sentinel-1 scene, from eo_tools",
        "MIT; Copernicus",
    ),
    ("docs/assets/iframe-worker.js", "iframe-worker, for the search of the documentation", "MIT"),
    ("tests/data/", "small real inputs of tests; sources and licences in its README", "see there"),
)


def installed_closure(name: str = "insar-mining") -> dict[str, importlib.metadata.Distribution]:
    """Return the distributions that installing the package without extras installs, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    queue = [name]
    while queue:
        current = queue.pop()
        for text in importlib.metadata.distribution(current).requires or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if key not in found:
                found[key] = importlib.metadata.distribution(requirement.name)
                queue.append(requirement.name)
    return found


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """Return the licence that a distribution states: its expression, else its classifiers, else its short text."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return expression
    classes = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License ::") and text.count(" :: ") > 1
    ]
    if classes:
        return ", ".join(classes)
    stated = (metadata.get("License") or "").strip().splitlines()
    return stated[0][:60] if stated else "not stated"


def licences_page() -> str:
    """Write the page: one row per distribution, then what is shipped."""
    lines = ["# Licences", "", "The package is Apache-2.0. It installs and imports:", ""]
    lines += ["| package | version | licence |", "|---|---|---|"]
    for name, distribution in sorted(installed_closure().items()):
        lines.append(f"| {name} | {distribution.version} | {licence_of(distribution)} |")
    lines += ["", "Made by others and shipped:", "", "| file | what | licence |", "|---|---|---|"]
    lines += [f"| `{path}` | {what} | {licence} |" for path, what, licence in SHIPPED]
    lines += ["", "Wheels of shapely, pyogrio and rasterio contain GEOS (LGPL-2.1) as a shared library."]
    lines += [
        "",
        "ESA SNAP (GPL) is never imported: it runs as another process, or through the optional `esa_snappy`.",
    ]
    return "\n".join(lines) + "\n"
