"""Interferogram with coherence, Deburst, Merge, and what is done to phase alone."""

from __future__ import annotations

import datetime as dt
import math
import re
from itertools import pairwise

import numpy as np
from common import Context, Failure, annotation, note_of, origin
from coregister import Fields, range_differences
from dimap_files import Product, from_utc, tag, utc


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


def remove_topographic_phase(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    """Phase of the terrain above the ellipsoid, from a debursted interferogram; coherence is passed on."""
    product = sources[0]
    date = product.dates[0].attributes
    note = note_of(product, "reference")
    sub = annotation(note["path"], note["swath"], note["polarisation"])
    start = (from_utc(date["first_line_time"]) - origin(sub)).total_seconds()
    rows, columns = product.shape
    between = [
        range_differences(product, start, rows, columns, elevation) for elevation in (context.elevation(p), None)
    ]
    turn = np.exp(-4j * math.pi / sub.wavelength_m * (between[0] - between[1]))
    names = list(product.bands)
    ifg = (product.bands[names[0]] + 1j * product.bands[names[1]]) * turn
    plain = [re.sub(r"_IW\d", "", name) for name in names]
    product.notes["virtual"] = f"_ifg_srd_{plain[0].removeprefix('i_ifg_')}"
    product.bands = {plain[0]: ifg.real.astype(np.float32), plain[1]: ifg.imag.astype(np.float32),
                     names[2]: product.bands[names[2]]}  # fmt: skip
    return product


def goldstein(sources: list[Product], p: dict[str, str], context: Context) -> Product:
    """Spectra of blocks times their smoothed size to a power (Goldstein and Werner 1998, doi:10.1029/1998GL900033)."""
    product = sources[0]
    names = list(product.bands)
    ifg = product.bands[names[0]] + 1j * product.bands[names[1]]
    size, alpha, smooth = int(p["FFTSizeString"]), float(p["alpha"]), int(p["windowSizeString"])
    if p.get("useAdaptiveAlpha") == "true":
        raise Failure("the stand-in has no adaptive alpha")
    half = 1 - abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    weight = np.outer(half, half)
    padded = np.pad(ifg, [(size, size + (-n) % (size // 4)) for n in ifg.shape])
    out, total = np.zeros_like(padded), np.zeros(padded.shape)
    for i in range(0, padded.shape[0] - size + 1, size // 4):
        for j in range(0, padded.shape[1] - size + 1, size // 4):
            part = (slice(i, i + size), slice(j, j + size))
            spectrum = np.fft.fft2(padded[part])
            power = np.abs(spectrum)
            power = sum(
                np.roll(power, (a, b), (0, 1)) for a in range(-(smooth // 2), smooth // 2 + 1)
                for b in range(-(smooth // 2), smooth // 2 + 1)
            ) / smooth**2  # fmt: skip
            peak = power.max()
            if peak > 0:
                out[part] += weight * np.fft.ifft2(spectrum * (power / peak) ** alpha)
                total[part] += weight
    inner = tuple(slice(size, size + n) for n in ifg.shape)
    filtered = np.where(ifg == 0, 0, out[inner] / np.maximum(total[inner], 1e-9))
    product.notes["virtual"] = "_db"
    product.bands = {**product.bands, names[0]: filtered.real.astype(np.float32),
                     names[1]: filtered.imag.astype(np.float32)}  # fmt: skip
    return product
