"""Subset and Terrain-Correction."""

from __future__ import annotations

import datetime as dt
import math
import re
import sys

import numpy as np
from common import Context, annotation, note_of, origin, way
from dimap_files import Product, from_utc, utc
from geometry import TO_ECEF, TO_LONLAT
from pyproj import CRS, Transformer


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
