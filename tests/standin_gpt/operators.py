"""SNAP's operators, done slowly: each takes products and parameters and returns a product."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from dimap_files import Date, Product, from_utc, read, tag, utc
from geometry import LIGHT, TO_ECEF, TO_LONLAT, Elevation, Path3
from pyproj import CRS, Transformer
from scipy.ndimage import map_coordinates, spline_filter

from insar_mining.sentinel1.product import open_product

NODE_LINES, NODE_SAMPLES = 12, 12


class Failure(Exception):
    """What SNAP calls an OperatorException."""


class Context:
    """What operators need besides their sources."""

    def __init__(self, userdir: Path, version: str, orbit_trap: bool = False) -> None:
        self.userdir, self.version, self.orbit_trap = userdir, version, orbit_trap
        self.fourteen = int(version.split(".")[0]) >= 14

    def elevation(self, p: dict[str, str]) -> Elevation:
        if "External DEM" not in p["demName"]:
            raise Failure(f"the network is needed for {p['demName']}")
        return Elevation(Path(p["externalDEMFile"]), float(p["externalDEMNoDataValue"]), self.userdir)


@lru_cache
def annotation(path: str, swath: str, polarisation: str):
    return open_product(path).sub_swath(swath, polarisation)


def origin(swath) -> dt.datetime:
    return dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))


def at(swath, seconds: float) -> dt.datetime:
    return origin(swath) + dt.timedelta(seconds=float(seconds))


def note_of(product: Product, side: str) -> dict:
    return json.loads(product.notes[side])


def read_product(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    file = Path(p["file"])
    if file.suffix == ".dim":
        return read(file)
    path = file.parent if file.name == "manifest.safe" else file
    if not file.exists():
        raise Failure(f"No product reader found for {file}")
    return Product({}, [], None, {"source": str(path)})


def split(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    path, swath, polarisation = sources[0].notes["source"], p["subswath"], p["selectedPolarisations"]
    product = open_product(path)
    if p["enableSingleSwathMode"] != "true" and not {"IW1", "IW2"} <= set(product.swaths):
        raise Failure("IW1 and IW2 are needed")
    sub = annotation(path, swath, polarisation)
    first, last = int(p["firstBurstIndex"]), min(int(p["lastBurstIndex"]), len(sub.bursts))
    pixels = np.concatenate([product.read_burst(swath, polarisation, k) for k in range(first - 1, last)])
    bursts = sub.bursts[first - 1 : last]
    stop = bursts[-1].azimuth_time_s + (sub.lines_per_burst - 1) * sub.azimuth_time_interval_s
    attributes = {
        "PRODUCT": product.name, "SWATH": swath, "MISSION": "SENTINEL-1A",
        "first_line_time": utc(at(sub, bursts[0].azimuth_time_s)), "last_line_time": utc(at(sub, stop)),
        "line_time_interval": repr(sub.azimuth_time_interval_s), "range_spacing": repr(sub.range_spacing_m),
        "slant_range_to_first_pixel": repr(sub.slant_range_m), "orbit_state_vector_file": "N/A",
        "radar_frequency": repr(sub.radar_frequency_hz / 1e6), "num_samples_per_line": str(pixels.shape[1]),
    }  # fmt: skip
    orbit = sub.orbit
    vectors = [
        (at(sub, t), np.concatenate([x, v]))
        for t, x, v in zip(orbit.time_s, orbit.position_m, orbit.velocity_m_s, strict=True)
    ]
    note = {"path": path, "swath": swath, "polarisation": polarisation, "bursts": list(range(first - 1, last))}
    bands = {
        f"i_{swath}_{polarisation}": pixels.real.astype(np.int16),
        f"q_{swath}_{polarisation}": pixels.imag.astype(np.int16),
    }
    return Product(bands, [Date(product.name, attributes, vectors)], None, {"reference": json.dumps(note)})


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
    date.attributes["orbit_state_vector_file"] = f"{p['orbitType'].removesuffix(' (Auto Download)')} {file.name}"
    return product


def way(date: Date, sub) -> Path3:
    middle = from_utc(date.attributes["first_line_time"])
    return Path3(date.vectors, origin(sub), middle)


class Fields:
    """Line and sample in the secondary burst, and both ranges, for the pixels of a burst of the reference."""

    def __init__(self, product: Product, burst: int, elevation: Elevation | None) -> None:
        notes = [note_of(product, side) for side in ("reference", "secondary")]
        self.subs = [annotation(n["path"], n["swath"], n["polarisation"]) for n in notes]
        ref, sec = self.subs
        paths = [way(d, s) for d, s in zip(product.dates, self.subs, strict=True)]
        self.lines, self.samples = ref.lines_per_burst, ref.samples_per_burst
        line = np.arange(0, self.lines + NODE_LINES, NODE_LINES, dtype=float)
        sample = np.arange(0, self.samples + NODE_SAMPLES, NODE_SAMPLES, dtype=float)
        time, distance = np.broadcast_arrays(
            (ref.bursts[burst].azimuth_time_s + line * ref.azimuth_time_interval_s)[:, None],
            ref.slant_range_m + sample * ref.range_spacing_m,
        )
        g = ref.geolocation
        guess = np.array(TO_ECEF.transform(g.longitude_deg.mean(), g.latitude_deg.mean(), g.height_m.mean()))
        point = ground(paths[0], time, distance, guess, elevation, g.height_m.mean())
        time2, distance2 = paths[1].zero_doppler(point, float(ref.bursts[burst].azimuth_time_s))
        middle = time2[time2.shape[0] // 2, time2.shape[1] // 2]
        length = sec.lines_per_burst * sec.azimuth_time_interval_s
        seeing = [k for k in notes[1]["bursts"] if 0 <= middle - sec.bursts[k].azimuth_time_s <= length]
        self.burst = min(seeing, key=lambda k: abs(middle - sec.bursts[k].azimuth_time_s - length / 2), default=None)
        self.range = distance2 - distance
        if self.burst is not None:
            begin = sec.bursts[self.burst].azimuth_time_s
            self.line = (time2 - begin) / sec.azimuth_time_interval_s - line[:, None]
            self.sample = (distance2 - sec.slant_range_m) / sec.range_spacing_m - sample

    def full(self, nodes: np.ndarray) -> np.ndarray:
        rows, columns = np.arange(self.lines) / NODE_LINES, np.arange(self.samples) / NODE_SAMPLES
        where = np.meshgrid(rows, columns, indexing="ij")
        return map_coordinates(spline_filter(nodes), where, prefilter=False, mode="nearest")


def ground(path: Path3, time, distance, guess, elevation: Elevation | None, level: float) -> np.ndarray:
    """Points on the terrain, found from a level near it: from far below they would lie outside of the model."""
    height = np.full(time.shape, 0.0 if elevation is None else level)
    point = path.ground(time, distance, height, guess)
    for _ in range(0 if elevation is None else 14):
        lon, lat, _ = TO_LONLAT.transform(point[..., 0], point[..., 1], point[..., 2])
        height = elevation.at(lon, lat)
        point = path.ground(time, distance, height, guess)
    return point


def ramp(sub, burst: int, line: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Phase of the TOPS carrier, after ESA's note on deramping (COPE-GSEG-EOPG-TN-14-0025)."""
    middle = sub.bursts[burst].azimuth_time_s + sub.lines_per_burst / 2 * sub.azimuth_time_interval_s
    orbit = sub.orbit
    speed = np.linalg.norm(orbit.velocity_m_s[np.argmin(abs(orbit.time_s - middle))])
    ks = 2 * speed / LIGHT * sub.radar_frequency_hz * sub.azimuth_steering_rate_rad_s

    def polynomial(entries, tau):
        best = min(entries, key=lambda e: abs(e.azimuth_time_s - middle))
        return sum(c * (tau - best.t0_s) ** k for k, c in enumerate(best.coefficients))

    tau = sub.slant_range_time_s + sample / sub.range_sampling_rate_hz
    centre = sub.slant_range_time_s + sub.samples_per_burst / 2 / sub.range_sampling_rate_hz
    ka, fdc = polynomial(sub.fm_rates, tau), polynomial(sub.doppler_centroids, tau)
    kt = ka * ks / (ka - ks)
    reference = -fdc / ka + polynomial(sub.doppler_centroids, centre) / polynomial(sub.fm_rates, centre)
    eta = (line - sub.lines_per_burst / 2) * sub.azimuth_time_interval_s - reference
    return math.pi * kt * eta**2 + 2 * math.pi * fdc * eta


STEPS = 4096


@lru_cache
def kernel(taps: int) -> np.ndarray:
    """Hann-windowed sinc, normalised by its sum, for fractions -0.5..0.5; shape (STEPS + 1, taps)."""
    offset = np.linspace(-0.5, 0.5, STEPS + 1)[:, None] - np.arange(-(taps // 2), taps // 2 + 1)
    weight = np.sinc(offset) * (0.5 + 0.5 * np.cos(np.pi * offset / (taps // 2 + 1)))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def resampled(image: np.ndarray, position: np.ndarray, taps: int) -> np.ndarray:
    """Interpolate along the second axis; outside of the image is 0."""
    half, width = taps // 2, image.shape[1]
    inside = (position >= 0) & (position <= width - 1)
    position = np.where(inside, position, 0)
    nearest = np.rint(position).astype(np.int32)
    fraction = np.rint((position - nearest + 0.5) * STEPS).astype(np.int32)
    padded = np.pad(image.astype(np.complex64), ((0, 0), (half, half)))
    start = nearest + np.arange(image.shape[0], dtype=np.int32)[:, None] * padded.shape[1]
    flat, weights = padded.ravel(), kernel(taps)
    total = np.zeros(position.shape, np.complex64)
    for k in range(taps):
        total += flat[start + k] * weights[fraction, k]
    return np.where(inside, total, 0)


def back_geocoding(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    ref, sec = sources
    product = Product({}, [ref.dates[0], sec.dates[0]], None, {"reference": ref.notes["reference"]})
    product.notes["secondary"] = sec.notes["reference"]
    product.notes["secondaries"] = "Secondary_Metadata" if context.fourteen else "Slave_Metadata"
    note, other = (note_of(product, side) for side in ("reference", "secondary"))
    if note["swath"] != other["swath"]:
        raise Failure("the sub-swaths differ")
    elevation = context.elevation(p)
    taps = int(re.search(r"BISINC_(\d+)", p["resamplingType"])[1])
    blocks = []
    for burst in note["bursts"]:
        fields = Fields(product, burst, elevation)
        blocks.append(np.zeros((fields.lines, fields.samples), np.complex64))
        if fields.burst is None:
            continue
        sub = fields.subs[1]
        image = open_product(other["path"]).read_burst(other["swath"], other["polarisation"], fields.burst)
        rows, columns = np.arange(sub.lines_per_burst, dtype=float), np.arange(sub.samples_per_burst, dtype=float)
        image = image * np.exp(-1j * ramp(sub, fields.burst, rows[:, None], columns)).astype(np.complex64)
        line = fields.full(fields.line) + np.arange(fields.lines)[:, None]
        sample = fields.full(fields.sample) + np.arange(fields.samples)
        # along range first, each line of the secondary with the offsets of the line of the reference it comes to
        shift = round(float(np.median(fields.line)))
        target = np.clip(np.arange(sub.lines_per_burst) - shift, 0, fields.lines - 1)
        stretched = resampled(image, sample[target], taps)
        moved = resampled(stretched.T.copy(), line.T.copy(), taps).T
        blocks[-1] = moved * np.exp(1j * ramp(sub, fields.burst, line, sample)).astype(np.complex64)
    moved = np.concatenate(blocks)
    marks = ("ref", "sec1") if context.fourteen else ("mst", "slv1")
    days = [tag(from_utc(d.attributes["first_line_time"])) for d in product.dates]
    for name, values in ref.bands.items():
        product.bands[f"{name}_{marks[0]}_{days[0]}"] = values
    stem = f"{note['swath']}_{note['polarisation']}_{marks[1]}_{days[1]}"
    product.bands[f"i_{stem}"], product.bands[f"q_{stem}"] = moved.real, moved.imag
    product.dates[1].name = f"{product.dates[1].name}_{days[1]}"
    return product


def interferogram(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    product = sources[0]
    note = note_of(product, "reference")
    names = list(product.bands)
    ref, sec = (product.bands[names[k]] + 1j * product.bands[names[k + 1]] for k in (0, 2))
    elevation = context.elevation(p) if p["subtractTopographicPhase"] == "true" else None
    if p["subtractFlatEarthPhase"] == "true":
        blocks = []
        for burst in note["bursts"]:
            fields = Fields(product, burst, elevation)
            blocks.append(fields.full(4 * math.pi / fields.subs[0].wavelength_m * fields.range))
        sec = sec * np.exp(1j * np.concatenate(blocks))
    cross = ref * sec.conj()
    height, width = int(p["cohWinAz"]), int(p["cohWinRg"])
    sums = [window_sum(v, height, width) for v in (cross, abs(ref) ** 2, abs(sec) ** 2)]
    with np.errstate(divide="ignore", invalid="ignore"):
        coherence = abs(sums[0]) / np.sqrt(sums[1] * sums[2])
    coherence = np.where((product.bands[names[2]] == 0) | ~np.isfinite(coherence), 0, coherence)
    days = [tag(from_utc(d.attributes["first_line_time"])) for d in product.dates]
    stem = f"{note['swath']}_{note['polarisation']}_{days[0]}_{days[1]}"
    product.bands = {
        f"i_ifg_{stem}": cross.real.astype(np.float32), f"q_ifg_{stem}": cross.imag.astype(np.float32),
        f"coh_{stem}": coherence.astype(np.float32),
    }  # fmt: skip
    return product


def window_sum(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sum over lines y - (h - 1) // 2 and the next h - 1, samples likewise; outside of the image is 0."""
    up, left = (height - 1) // 2, (width - 1) // 2
    padded = np.pad(values, ((up, height - 1 - up), (left, width - 1 - left)))
    rows, columns = values.shape
    return sum(padded[i : i + rows, j : j + columns] for i in range(height) for j in range(width))


def deburst(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    product = sources[0]
    note = note_of(product, "reference")
    sub = annotation(note["path"], note["swath"], note["polarisation"])
    step, lines = sub.azimuth_time_interval_s, sub.lines_per_burst
    bursts = [sub.bursts[k] for k in note["bursts"]]
    starts = np.array([b.azimuth_time_s for b in bursts])
    height = round((starts[-1] + (lines - 1) * step - starts[0]) / step) + 1
    out = {name: np.zeros((height, values.shape[1]), values.dtype) for name, values in product.bands.items()}
    for row in range(height):
        time = starts[0] + row * step
        seeing = [k for k in range(len(bursts)) if -0.5 * step <= time - starts[k] <= (lines - 0.5) * step]
        if len(seeing) > 1 and time >= (starts[seeing[0]] + (lines - 1) * step + starts[seeing[1]]) / 2:
            seeing = seeing[1:]
        k = seeing[0]
        line = min(max(round((time - starts[k]) / step), 0), lines - 1)
        first, last = bursts[k].first_valid_sample[line], bursts[k].last_valid_sample[line]
        if first >= 0:
            for name, values in product.bands.items():
                out[name][row, first : last + 1] = values[k * lines + line, first : last + 1]
    product.bands = out
    stop = from_utc(product.dates[0].attributes["first_line_time"]) + dt.timedelta(seconds=(height - 1) * step)
    product.dates[0].attributes["last_line_time"] = utc(stop)
    return product


def merge(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    if len({s.dates[0].attributes["PRODUCT"] for s in sources}) > 1:
        raise Failure("Source products are not from the same Sentinel-1 product")
    attributes = [s.dates[0].attributes for s in sources]
    step, spacing = (float(attributes[0][k]) for k in ("line_time_interval", "range_spacing"))
    starts = [from_utc(a["first_line_time"]) for a in attributes]
    start = min(starts)
    top = [round((t - start).total_seconds() / step) for t in starts]
    near = [float(a["slant_range_to_first_pixel"]) for a in attributes]
    left = [round((n - near[0]) / spacing) for n in near]
    height = max(t + s.shape[0] for t, s in zip(top, sources, strict=True))
    width = max(shift + s.shape[1] for shift, s in zip(left, sources, strict=True))
    edges = []
    for s, shift in zip(sources, left, strict=True):
        used = np.flatnonzero(np.any(s.bands[next(n for n in s.bands if n.startswith("coh"))] != 0, axis=0))
        edges.append((shift + used[0], shift + used[-1] + 1))
    seams = [(a[1] + b[0]) // 2 for a, b in pairwise(edges)]
    result = Product({}, sources[0].dates, None, sources[0].notes)
    for names in zip(*(s.bands for s in sources), strict=True):
        band = np.zeros((height, width), np.float32)
        for k, (s, name) in enumerate(zip(sources, names, strict=True)):
            begin, end = (seams[k - 1] if k else 0), (seams[k] if k < len(seams) else width)
            begin, end = max(begin, left[k]), min(end, left[k] + s.shape[1])
            band[top[k] : top[k] + s.shape[0], begin:end] = s.bands[name][:, begin - left[k] : end - left[k]]
        result.bands[re.sub(r"_IW\d", "", names[0])] = band
    a = result.dates[0].attributes
    a["first_line_time"], a["last_line_time"] = utc(start), utc(start + dt.timedelta(seconds=(height - 1) * step))
    return result


def tie_points(product: Product, every: int = 16):
    """Longitudes and latitudes of some pixels, at the mean height of the annotation's own tie points."""
    note = note_of(product, "reference")
    sub = annotation(note["path"], note["swath"], note["polarisation"])
    a = product.dates[0].attributes
    rows, columns = (np.unique(np.append(np.arange(0, n, every), n - 1)) for n in product.shape)
    start = (from_utc(a["first_line_time"]) - origin(sub)).total_seconds()
    time, distance = np.broadcast_arrays(
        (start + rows * float(a["line_time_interval"]))[:, None],
        float(a["slant_range_to_first_pixel"]) + columns * float(a["range_spacing"]),
    )
    g = sub.geolocation
    height = g.height_m.mean()
    guess = np.array(TO_ECEF.transform(g.longitude_deg.mean(), g.latitude_deg.mean(), height))
    point = way(product.dates[0], sub).ground(time, distance, np.full(time.shape, height), guess)
    lon, lat, _ = TO_LONLAT.transform(point[..., 0], point[..., 1], point[..., 2])
    return rows, columns, lon, lat


def subset(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    product = sources[0]
    numbers = np.array(re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", p["geoRegion"]), dtype=float).reshape(-1, 2)
    (west, south), (east, north) = numbers.min(axis=0), numbers.max(axis=0)
    rows, columns, lon, lat = tie_points(product)
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    if not inside.any():
        print("WARNING: org.esa.snap: No intersection with source product boundary", file=sys.stderr)
        return Product({}, product.dates, None, product.notes)
    used = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = (axis[max(u[0] - 1, 0)] for axis, u in zip((rows, columns), used, strict=True))
    bottom, right = (axis[min(u[-1] + 1, axis.size - 1)] + 1 for axis, u in zip((rows, columns), used, strict=True))
    product.bands = {name: values[top:bottom, left:right] for name, values in product.bands.items()}
    a = product.dates[0].attributes
    step = float(a["line_time_interval"])
    start = from_utc(a["first_line_time"]) + dt.timedelta(seconds=int(top) * step)
    a["first_line_time"] = utc(start)
    a["last_line_time"] = utc(start + dt.timedelta(seconds=int(bottom - top - 1) * step))
    a["slant_range_to_first_pixel"] = repr(
        float(a["slant_range_to_first_pixel"]) + int(left) * float(a["range_spacing"])
    )
    return product


def terrain_correction(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    product = sources[0]
    elevation = context.elevation(p)
    _, _, lon, lat = tie_points(product)
    crs = CRS.from_user_input(p["mapProjection"])
    to_map = Transformer.from_crs(4326, crs, always_xy=True)
    west, south, east, north = to_map.transform_bounds(lon.min(), lat.min(), lon.max(), lat.max(), densify_pts=21)
    size = float(p["pixelSpacingInMeter"])
    if p["alignToStandardGrid"] == "true":
        x0, y0 = float(p["standardGridOriginX"]), float(p["standardGridOriginY"])
        west = math.floor((west - x0) / size) * size + x0
        north = math.ceil((north - y0) / size) * size + y0
    width, height = math.ceil((east - west) / size), math.ceil((north - south) / size)
    # (west, north) is the centre of the first cell
    x, y = np.meshgrid(west + np.arange(width) * size, north - np.arange(height) * size)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    point = np.stack(TO_ECEF.transform(lon, lat, elevation.at(lon, lat)), axis=-1)
    note = note_of(product, "reference")
    sub = annotation(note["path"], note["swath"], note["polarisation"])
    a = product.dates[0].attributes
    first, last = ((from_utc(a[k]) - origin(sub)).total_seconds() for k in ("first_line_time", "last_line_time"))
    time, distance = way(product.dates[0], sub).zero_doppler(point, first)
    line = (time - first) / ((last - first) / (product.shape[0] - 1))
    sample = (distance - float(a["slant_range_to_first_pixel"])) / float(a["range_spacing"])
    bands = {name: mapped(product.bands[name], line, sample) for name in p["sourceBands"].split(",")}
    if not any(values.any() for values in bands.values()):
        print("WARNING: no valid output was produced. Please verify the DEM", file=sys.stderr)
    matrix = (size, 0.0, 0.0, -size, west - size / 2, north + size / 2)
    return Product(bands, product.dates, (crs.to_wkt("WKT1_GDAL"), matrix), product.notes)


def mapped(values: np.ndarray, line: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Bilinear; where one of the four is nodata, the first of them."""
    ok = (line >= 0) & (sample >= 0) & (line <= values.shape[0] - 1) & (sample <= values.shape[1] - 1)
    r = np.clip(np.floor(np.where(ok, line, 0)).astype(int), 0, values.shape[0] - 2)
    c = np.clip(np.floor(np.where(ok, sample, 0)).astype(int), 0, values.shape[1] - 2)
    four = [values[r + i, c + j] for i in (0, 1) for j in (0, 1)]
    v, u = line - r, sample - c
    blend = (four[0] * (1 - u) + four[1] * u) * (1 - v) + (four[2] * (1 - u) + four[3] * u) * v
    whole = np.all([f != 0 for f in four], axis=0)
    return np.where(ok, np.where(whole, blend, four[0]), 0).astype(np.float32)


OPERATORS = {
    "Read": read_product, "TOPSAR-Split": split, "Apply-Orbit-File": apply_orbit, "Back-Geocoding": back_geocoding,
    "Enhanced-Spectral-Diversity": lambda sources, p, context: sources[0],
    "Interferogram": interferogram, "TOPSAR-Deburst": deburst, "TOPSAR-Merge": merge, "Subset": subset,
    "Terrain-Correction": terrain_correction,
}  # fmt: skip
