"""From SAFE to a split with its orbit: Read, SliceAssembly, TOPSAR-Split, Apply-Orbit-File."""

from __future__ import annotations

import datetime as dt
import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from common import Context, Failure, annotation, at
from dimap_files import Date, Product, from_utc, read, utc
from geometry import Path3

from insar_mining.sentinel1.product import open_product


def read_product(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    file = Path(p["file"])
    expected = "BEAM-DIMAP" if file.suffix == ".dim" else "SENTINEL-1"
    if p.get("formatName", expected) != expected:
        raise Failure(f"The reader of {p['formatName']} cannot read {file}")
    if file.suffix == ".dim":
        return read(file)
    path = (file.parent if file.name == "manifest.safe" else file).resolve()
    if not file.exists():
        raise Failure(f"No product reader found for {file}")
    return Product({}, [], None, {"source": str(path)})


def slice_assembly(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    """Bursts of consecutive slices below one another; every burst keeps its own time, every band its own size.

    As SNAP does, it goes by the slices' numbers: of two with one number the first is lost.
    """
    products = [open_product(source.notes["source"]) for source in sources]
    products = [product for _, product in sorted({slice_number(product): product for product in products}.items())]
    if any(len(product.swaths) < 2 for product in products):
        raise Failure(
            'Cannot invoke "org.esa.snap.core.datamodel.TiePointGrid.getGridWidth()" because "latTPG" is null'
        )
    if len({(product.platform, product.relative_orbit) for product in products}) > 1:
        raise Failure("the slices are not of one pass")
    polarisation = p["selectedPolarisations"]
    result = Product({}, [], None, {"slices": json.dumps([str(product.path) for product in products])})
    for swath in sorted(set.intersection(*(set(product.swaths) for product in products))):
        subs = [annotation(str(product.path), swath, polarisation) for product in products]
        for one, other in pairwise(subs):
            stop = at(one, one.bursts[-1].azimuth_time_s)
            gap = (at(other, other.bursts[0].azimuth_time_s) - stop).total_seconds()
            if not 2 < gap < 3.5:
                raise Failure(f"the slices do not follow one another: {gap:.1f} s lie between their bursts")
        width = min(sub.samples_per_burst for sub in subs)
        blocks = [
            product.read_burst(swath, polarisation, k)[:, :width]
            for product, sub in zip(products, subs, strict=True)
            for k in range(len(sub.bursts))
        ]
        pixels = np.concatenate(blocks)
        result.bands[f"i_{swath}_{polarisation}"] = pixels.real.astype(np.int16)
        result.bands[f"q_{swath}_{polarisation}"] = pixels.imag.astype(np.int16)
        attributes = {
            "PRODUCT": products[0].name,
            "first_line_time": utc(at(subs[0], subs[0].bursts[0].azimuth_time_s)),
            "last_line_time": utc(at(subs[-1], subs[-1].bursts[-1].azimuth_time_s)),
        }
        result.dates = [Date(products[0].name, attributes, [])]
    return result


def slice_number(product) -> int:
    manifest = ET.parse(product.path / "manifest.safe").getroot()
    return int(manifest.findtext(".//{*}sliceNumber"))


def split_assembled(product: Product, p: dict[str, str]) -> Product:
    """Bursts of an assembled product, counted through all of its slices."""
    swath, polarisation = p["subswath"], p["selectedPolarisations"]
    paths = json.loads(product.notes["slices"])
    subs = [annotation(path, swath, polarisation) for path in paths]
    bursts = [(sub, burst) for sub in subs for burst in sub.bursts]
    first, last = int(p["firstBurstIndex"]), min(int(p["lastBurstIndex"]), len(bursts))
    lines = subs[0].lines_per_burst
    begin, end = bursts[first - 1], bursts[last - 1]
    attributes = {
        **product.dates[0].attributes,
        "SWATH": swath,
        "first_line_time": utc(at(begin[0], begin[1].azimuth_time_s)),
        "last_line_time": utc(at(end[0], end[1].azimuth_time_s + (lines - 1) * subs[0].azimuth_time_interval_s)),
        "orbit_state_vector_file": "-",
    }
    bands = {
        f"{part}_{swath}_{polarisation}": product.bands[f"{part}_{swath}_{polarisation}"][
            (first - 1) * lines : last * lines
        ]
        for part in "iq"
    }
    return Product(bands, [Date(product.dates[0].name, attributes, vectors_of(subs[0]))], None, {})


def vectors_of(sub) -> list[tuple[dt.datetime, np.ndarray]]:
    orbit = sub.orbit
    return [
        (at(sub, t), np.concatenate([x, v]))
        for t, x, v in zip(orbit.time_s, orbit.position_m, orbit.velocity_m_s, strict=True)
    ]


def split(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    if "slices" in sources[0].notes:
        return split_assembled(sources[0], p)
    path, swath, polarisation = sources[0].notes["source"], p["subswath"], p["selectedPolarisations"]
    product = open_product(path)
    if p["enableSingleSwathMode"] != "true" and not {"IW1", "IW2"} <= set(product.swaths):
        raise Failure("IW1 and IW2 are needed")
    if swath not in product.swaths:
        raise Failure("Index -1 out of bounds for length 1")
    # of a polarisation that the product does not have SNAP says nothing, and takes all
    polarisations = [polarisation] if polarisation in product.polarisations else product.polarisations
    polarisation = polarisations[0]
    sub = annotation(path, swath, polarisation)
    first, last = int(p["firstBurstIndex"]), min(int(p["lastBurstIndex"]), len(sub.bursts))
    images = {
        each: np.concatenate([product.read_burst(swath, each, k) for k in range(first - 1, last)])
        for each in polarisations
    }
    pixels = images[polarisation]
    bursts = sub.bursts[first - 1 : last]
    stop = bursts[-1].azimuth_time_s + (sub.lines_per_burst - 1) * sub.azimuth_time_interval_s
    attributes = {
        "PRODUCT": product.name, "SWATH": swath, "MISSION": "SENTINEL-1A",
        "first_line_time": utc(at(sub, bursts[0].azimuth_time_s)), "last_line_time": utc(at(sub, stop)),
        "line_time_interval": repr(sub.azimuth_time_interval_s), "range_spacing": repr(sub.range_spacing_m),
        "slant_range_to_first_pixel": repr(sub.slant_range_m), "orbit_state_vector_file": "-",
        "radar_frequency": repr(sub.radar_frequency_hz / 1e6), "num_samples_per_line": str(pixels.shape[1]),
    }  # fmt: skip
    note = {"path": path, "swath": swath, "polarisation": polarisation, "bursts": list(range(first - 1, last))}
    bands = {
        f"{part}_{swath}_{each}": values.astype(np.int16)
        for each, image in images.items()
        for part, values in (("i", image.real), ("q", image.imag))
    }
    return Product(bands, [Date(product.name, attributes, vectors_of(sub))], None, {"reference": json.dumps(note)})


def apply_orbit(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    product = sources[0]
    date = product.dates[0]
    start, stop = (from_utc(date.attributes[k]) for k in ("first_line_time", "last_line_time"))
    kind = "POEORB" if "Precise" in p["orbitType"] else "RESORB"
    platform = date.attributes["PRODUCT"][:3]
    folder = context.userdir / "auxdata/Orbits/Sentinel-1" / kind / platform / f"{start:%Y}" / f"{start:%m}"
    stamp = "%Y%m%dT%H%M%S"
    for file in sorted(folder.glob("*.EOF")):
        valid = re.search(r"_V(\d{8}T\d{6})_(\d{8}T\d{6})", file.name)
        begin, end = (dt.datetime.strptime(t, stamp) for t in valid.groups())
        if begin <= start and stop <= end:
            break
    else:
        raise Failure(f"No valid orbit file found for {utc(start)}\nOrbit files may be placed in {folder}")
    if context.orbit_trap:
        return product
    vectors = []
    for vector in ET.parse(file).getroot().iterfind("Data_Block/List_of_OSVs/OSV"):
        time = dt.datetime.fromisoformat(vector.findtext("UTC").removeprefix("UTC="))
        if abs((time - start).total_seconds()) < 100:
            vectors.append((time, np.array([float(vector.findtext(k)) for k in ("X", "Y", "Z", "VX", "VY", "VZ")])))
    path = Path3(vectors, start, start)
    seconds = np.arange(-10.0, (stop - start).total_seconds() + 10.5)
    states = np.concatenate([path.at(seconds), path.at(seconds, "speeds")], axis=1)
    date.vectors = [(start + dt.timedelta(seconds=float(t)), s) for t, s in zip(seconds, states, strict=True)]
    date.attributes["orbit_state_vector_file"] = f"{p['orbitType'].removesuffix(' (Auto Download)')}  {file.name}"
    return product
