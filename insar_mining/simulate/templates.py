"""Read real annotations as templates: from a SAFE folder, or shipped inside the package."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from insar_mining.errors import ProductError

_NAME = re.compile(r"s1[a-z]-(iw\d)-slc-(vv|vh|hh|hv)-.*-(\d{3})\.xml$")


@dataclass(frozen=True, eq=False)
class Template:
    """Hold the metadata of one real product, under which pixels are simulated.

    Attributes
    ----------
    name : str
        Of the product, for messages.
    annotations : mapping from (swath, polarisation), e.g. ("IW1", "VV"), to XML bytes
    manifest : bytes
    """

    name: str
    annotations: Mapping[tuple[str, str], bytes]
    manifest: bytes

    def annotation(self, swath: str, polarisation: str) -> bytes:
        """Return the XML of one sub-swath.

        Raises
        ------
        ProductError
            The template has no such sub-swath and polarisation.
        """
        try:
            return self.annotations[swath.upper(), polarisation.upper()]
        except KeyError:
            has = ", ".join(" ".join(key) for key in sorted(self.annotations)) or "none"
            raise ProductError(
                f"{self.name}: no annotation of {swath} {polarisation} to simulate under (it has: {has})"
            ) from None


def load_template(safe: Path | str) -> Template:
    """Read the annotations and the manifest of a SAFE folder; measurements are not needed.

    Raises
    ------
    ProductError
        No manifest, or no annotation of a sub-swath, in the folder.
    """
    safe = Path(safe)
    manifest = safe / "manifest.safe"
    if not manifest.is_file():
        raise ProductError(f"{manifest}: missing; a template is a SAFE folder with manifest.safe and annotation/*.xml")
    found = {}
    for path in sorted((safe / "annotation").glob("*.xml")):
        match = _NAME.match(path.name)
        if match:
            found[match[1].upper(), match[2].upper()] = path.read_bytes()
    if not found:
        raise ProductError(f"{safe / 'annotation'}: holds no annotation of an IW SLC sub-swath")
    return Template(safe.name, found, manifest.read_bytes())


def morocco_template() -> Template:
    """Return the template shipped with the package: Sentinel-1A, 2023-09-04, IW1 VV, Morocco.

    Copied unchanged (but compressed) from the test data of eo_tools (MIT licence, see
    ``templates/README.md``); contains modified Copernicus Sentinel data 2023.
    """
    folder = files("insar_mining.simulate") / "templates"
    annotation = gzip.decompress((folder / "iw1-vv-20230904.xml.gz").read_bytes())
    manifest = gzip.decompress((folder / "manifest-20230904.xml.gz").read_bytes())
    return Template("S1A 2023-09-04 (shipped)", {("IW1", "VV"): annotation}, manifest)
