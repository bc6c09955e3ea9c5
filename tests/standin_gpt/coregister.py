"""Back-Geocoding and Enhanced-Spectral-Diversity, from the formulas of ESA's note on deramping."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import Context, Failure, annotation, note_of, way
from dimap_files import Product, from_utc, tag
from geometry import LIGHT, TO_ECEF, TO_LONLAT, Elevation, Path3

from insar_mining.sentinel1.product import open_product

NODE_LINES, NODE_SAMPLES = 12, 12


def nodes_of(lines: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.arange(0, lines + NODE_LINES, NODE_LINES, dtype=float),
        np.arange(0, samples + NODE_SAMPLES, NODE_SAMPLES, dtype=float),
    )


def between_nodes(values: np.ndarray, lines: int, samples: int) -> np.ndarray:
    """Values at every pixel from values at the nodes, by Lagrange's polynomials of degree 5 along each axis."""
    return lagrange(lines, NODE_LINES, values.shape[0]) @ values @ lagrange(samples, NODE_SAMPLES, values.shape[1]).T


@lru_cache
def lagrange(pixels: int, step: int, nodes: int, points: int = 6) -> np.ndarray:
    """Weights of the nodes, shape (pixels, nodes)."""
    points = min(points, nodes)
    weights = np.zeros((pixels, nodes))
    at = np.arange(pixels) / step
    first = np.clip(np.floor(at).astype(int) - points // 2 + 1, 0, nodes - points)
    for j in range(points):
        weight = np.ones(pixels)
        for k in range(points):
            if k != j:
                weight *= (at - first - k) / (j - k)
        weights[np.arange(pixels), first + j] = weight
    return weights


def seen_again(product: Product, start: float, line, sample, elevation: Elevation | None):
    """Time and distance in the secondary, and distance in the reference, of pixels of the reference."""
    subs = [annotation(n["path"], n["swath"], n["polarisation"])
            for n in (note_of(product, side) for side in ("reference", "secondary"))]  # fmt: skip
    ref = subs[0]
    paths = [way(d, s) for d, s in zip(product.dates, subs, strict=True)]
    time, distance = np.broadcast_arrays(
        (start + line * ref.azimuth_time_interval_s)[:, None],
        float(product.dates[0].attributes["slant_range_to_first_pixel"]) + sample * ref.range_spacing_m,
    )
    g = ref.geolocation
    guess = np.array(TO_ECEF.transform(g.longitude_deg.mean(), g.latitude_deg.mean(), g.height_m.mean()))
    point = ground(paths[0], time, distance, guess, elevation, g.height_m.mean())
    later = paths[1].zero_doppler(point, float(start))
    return (*later, distance)


def range_differences(product: Product, start: float, rows: int, columns: int, elevation: Elevation | None):
    """Distance in the secondary less distance in the reference, for an image that begins at a time."""
    _, later, distance = seen_again(product, start, *nodes_of(rows, columns), elevation)
    return between_nodes(later - distance, rows, columns)


class Fields:
    """Line and sample in the secondary burst, and both ranges, for the pixels of a burst of the reference."""

    def __init__(self, product: Product, burst: int, elevation: Elevation | None) -> None:
        notes = [note_of(product, side) for side in ("reference", "secondary")]
        self.subs = [annotation(n["path"], n["swath"], n["polarisation"]) for n in notes]
        ref, sec = self.subs
        self.lines, self.samples = ref.lines_per_burst, ref.samples_per_burst
        line, sample = nodes_of(self.lines, self.samples)
        begin = float(ref.bursts[burst].azimuth_time_s)
        time2, distance2, distance = seen_again(product, begin, line, sample, elevation)
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
        return between_nodes(nodes, self.lines, self.samples)


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
    product.notes["elevation"] = json.dumps(
        [p["externalDEMFile"], float(p["externalDEMNoDataValue"]), str(context.userdir)]
    )
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
        empty = image == 0  # i = q = 0 is no data
        image = image * np.exp(-1j * ramp(sub, fields.burst, rows[:, None], columns)).astype(np.complex64)
        line = fields.full(fields.line) + np.arange(fields.lines)[:, None]
        sample = fields.full(fields.sample) + np.arange(fields.samples)
        # along range first, each line of the secondary with the offsets of the line of the reference it comes to
        shift = round(float(np.median(fields.line)))
        target = np.clip(np.arange(sub.lines_per_burst) - shift, 0, fields.lines - 1)
        stretched = resampled(image, sample[target], taps)
        moved = resampled(stretched.T.copy(), line.T.copy(), taps).T
        nearest = [
            np.clip(np.rint(place).astype(int), 0, size - 1)
            for place, size in zip((line, sample), empty.shape, strict=True)
        ]
        moved = np.where(empty[tuple(nearest)], 0, moved)
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


def frequency(sub, burst: int, line: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Azimuth frequency of the carrier at places in a burst, Hz."""
    step = ramp(sub, burst, line + 0.5, sample) - ramp(sub, burst, line - 0.5, sample)
    return step / (2 * math.pi * sub.azimuth_time_interval_s)


def enhanced_spectral_diversity(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    """One azimuth shift for all bursts, from the phase between neighbouring bursts where they overlap.

    A shift by t seconds turns the phase of an interferogram by 2 pi f t; f, the carrier's frequency, differs by some
    kHz between two bursts that see the same ground (Prats-Iraola et al. 2012, doi:10.1109/TGRS.2011.2179664).  The
    shift in range, which SNAP finds by correlation, is not estimated.
    """
    product = sources[0]
    if p["useSuppliedAzimuthShift"] == "true":
        return shifted(product, float(p["overallAzimuthShift"]))
    names = list(product.bands)
    ref, sec = (product.bands[names[k]] + 1j * product.bands[names[k + 1]] for k in (0, 2))
    sub = annotation(*(note_of(product, "reference")[k] for k in ("path", "swath", "polarisation")))
    step, lines = sub.azimuth_time_interval_s, sub.lines_per_burst
    bursts = note_of(product, "reference")["bursts"]
    sums, rates = [], []
    for number, (k, after) in enumerate(pairwise(bursts)):
        ahead = round((sub.bursts[after].azimuth_time_s - sub.bursts[k].azimuth_time_s) / step)
        both = range(sub.bursts[after].valid_lines.start, sub.bursts[k].valid_lines.stop - ahead)
        blocks = []
        for place, skip in ((number, ahead), (number + 1, 0)):
            rows = slice(place * lines + both.start + skip, place * lines + both.stop + skip)
            blocks.append((ref[rows], sec[rows]))
        crosses = [m * s.conj() for m, s in blocks]
        sums_of = [window_mean(v) for v in (crosses[0], abs(blocks[0][0]) ** 2, abs(blocks[0][1]) ** 2)]
        with np.errstate(divide="ignore", invalid="ignore"):
            coherence = np.nan_to_num(abs(sums_of[0]) / np.sqrt(sums_of[1].real * sums_of[2].real))
        weight = np.where(coherence > float(p["cohThreshold"]), np.sqrt(coherence), 0)  # "Inv Quadratic"
        row, column = np.array(both, dtype=float)[:, None], np.arange(ref.shape[1], dtype=float)
        rate = frequency(sub, k, row + ahead, column) - frequency(sub, after, row, column)
        sums.append(np.sum(weight * crosses[0] * crosses[1].conj()))
        rates.append(np.sum(weight * rate) / max(np.sum(weight), 1e-9))
    if not any(abs(total) > 0 for total in sums):
        print("WARNING: org.esa.snap: no burst overlap is coherent; azimuth shift 0", file=sys.stderr)
        return product
    weights = [abs(total) for total in sums]
    seconds = np.average([np.angle(t) / (2 * math.pi * r) for t, r in zip(sums, rates, strict=True)], weights=weights)
    shift = float(seconds / step)
    print(f"INFO: org.esa.snap: overall azimuth shift = {shift:.5f} lines", file=sys.stderr)
    if "STANDIN_NOTES" in os.environ:
        with Path(os.environ["STANDIN_NOTES"]).open("a") as notes:
            notes.write(f"{note_of(product, 'reference')['swath']} {shift!r}\n")
    return shifted(product, shift)


def window_mean(values: np.ndarray, size: int = 5) -> np.ndarray:
    padded = np.pad(values, size // 2)
    rows, columns = values.shape
    return sum(padded[i : i + rows, j : j + columns] for i in range(size) for j in range(size)) / size**2


def heights_of(product: Product) -> Elevation:
    file, nodata, userdir = json.loads(product.notes["elevation"])
    return Elevation(Path(file), nodata, Path(userdir))


def shifted(product: Product, shift: float) -> Product:
    """The secondary read so many lines further on: its carrier off, a phase ramp over the spectrum, the carrier on."""
    names = list(product.bands)
    sec = product.bands[names[2]] + 1j * product.bands[names[3]]
    lines = annotation(*(note_of(product, "reference")[k] for k in ("path", "swath", "polarisation"))).lines_per_burst
    turn = np.exp(2j * math.pi * np.fft.fftfreq(lines) * shift)[:, None]
    for number, burst in enumerate(note_of(product, "reference")["bursts"]):
        fields = Fields(product, burst, heights_of(product))
        if fields.burst is None:
            continue
        rows = slice(number * lines, (number + 1) * lines)
        line = fields.full(fields.line) + np.arange(fields.lines)[:, None]
        sample = fields.full(fields.sample) + np.arange(fields.samples)
        sub, block = fields.subs[1], sec[rows]
        flat = block * np.exp(-1j * ramp(sub, fields.burst, line, sample))
        moved = np.fft.ifft(np.fft.fft(flat, axis=0) * turn, axis=0)
        sec[rows] = np.where(block == 0, 0, moved * np.exp(1j * ramp(sub, fields.burst, line + shift, sample)))
    product.bands[names[2]], product.bands[names[3]] = sec.real.astype(np.float32), sec.imag.astype(np.float32)
    return product
