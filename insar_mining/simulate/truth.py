"""Compute the coherence that a simulated pair really has, on the map.

truth = temporal x geometric x thermal.

Geometric: after perfect coregistration a resolution cell holds
``sum |psf(u)|^2 exp(-4i pi (R1 - R2)(u) / lambda + 2i pi (f1 - f2) u)``, so the loss is the
normalised autocorrelation of the processor's windowed spectrum at the shift between
the two spectra: in range from the gradient of the range difference (the spectral shift of
Gatelli et al. 1994, doi:10.1109/36.298013, with the local slope contained), in azimuth
from the same gradient and from the difference of the Doppler centroids f1 - f2 (bursts that do not
start at the same place of the orbit).  Gradients are finite differences of the exact
ranges and times of points on the terrain; no formula for the baseline is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from pyproj import Transformer

from insar_mining.arrays import FloatArray
from insar_mining.files import appears_whole
from insar_mining.geo.grid import MapGrid
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.simulate.carrier import burst_carrier
from insar_mining.simulate.geometry import Trajectory, to_ecef, trajectory, zero_doppler
from insar_mining.simulate.pixels import SPEED_OF_LIGHT_M_S, responses, sample_of
from insar_mining.simulate.terrain import Terrain

STEP_M = 2.0
NEAR_LAYOVER_DEG = 10.0
CLEAR, NEAR_LAYOVER, LAYOVER, SHADOW = 0, 1, 2, 3
BANDS = ("coherence", "temporal", "geometric", "thermal", "mask", "local_incidence_deg")


@dataclass(frozen=True, eq=False)
class SceneView:
    """Hold points of a terrain in the geometry of one acquisition, with derivatives along the map axes.

    Attributes
    ----------
    time_s, slant_range_m : ndarray
        At the points themselves.
    jacobian : ndarray, shape (..., 2, 2)
        Rows: line, sample; columns: per metre of easting, of northing.
    range_slope : ndarray, shape (..., 2)
        Metres of slant range per metre of easting, of northing.
    local_incidence_deg : ndarray
        Angle between the line of sight and the ground's normal in the plane broadside to
        the orbit; <= 0 is layover, >= 90 is shadow.
    """

    time_s: FloatArray
    slant_range_m: FloatArray
    jacobian: FloatArray
    range_slope: FloatArray
    local_incidence_deg: FloatArray


def path_of(swath: SubSwath) -> Trajectory:
    """Return the satellite path over all bursts of a sub-swath."""
    length = swath.lines_per_burst * swath.azimuth_time_interval_s
    return trajectory(swath.orbit, swath.bursts[0].azimuth_time_s - 1, swath.bursts[-1].azimuth_time_s + length + 1)


def view(swath: SubSwath, terrain: Terrain, easting_m: FloatArray, northing_m: FloatArray) -> SceneView:
    """Compute the geometry of points of a terrain (arrays of one shape) for one acquisition."""
    path = path_of(swath)
    to_lonlat = Transformer.from_crs(terrain.epsg, 4326, always_xy=True)

    def points(dx: float, dy: float) -> FloatArray:
        x, y = easting_m + dx, northing_m + dy
        longitude, latitude = to_lonlat.transform(x, y)
        return to_ecef(longitude, latitude, terrain.ellipsoidal_m(x, y))

    centre = points(0, 0)
    time, slant = zero_doppler(path, centre)
    tangents, line_slope, range_slope = [], [], []
    for dx, dy in ((STEP_M, 0.0), (0.0, STEP_M)):
        ahead, behind = points(dx, dy), points(-dx, -dy)
        (t1, r1), (t0, r0) = zero_doppler(path, ahead), zero_doppler(path, behind)
        tangents.append((ahead - behind) / (2 * STEP_M))
        line_slope.append((t1 - t0) / (2 * STEP_M) / swath.azimuth_time_interval_s)
        range_slope.append((r1 - r0) / (2 * STEP_M))
    slopes = np.stack(range_slope, axis=-1)
    jacobian = np.stack([np.stack(line_slope, axis=-1), slopes / swath.range_spacing_m], axis=-2)
    normal = np.cross(tangents[0], tangents[1])
    return SceneView(time, slant, jacobian, slopes, _local_incidence(path, time, centre, normal))


def _local_incidence(path: Trajectory, time: FloatArray, ground: FloatArray, normal: FloatArray) -> FloatArray:
    position, velocity = path.position_m(time), path.velocity_m_s(time)
    forward = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    back = position - ground
    back = back / np.linalg.norm(back, axis=-1, keepdims=True)
    outward = np.cross(forward, back)  # perpendicular to the sight, in the broadside plane: up and away from the track
    up = np.einsum("...i,...i->...", normal, back)
    away = np.einsum("...i,...i->...", normal, outward)
    return np.asarray(np.rad2deg(np.arctan2(away, up)))


def nearest_burst(swath: SubSwath, time_s: FloatArray) -> npt.NDArray[np.int64]:
    """Return the index of the burst whose middle is nearest in time: the one kept when bursts are joined."""
    half = swath.lines_per_burst * swath.azimuth_time_interval_s / 2
    middle = np.array([b.azimuth_time_s + half for b in swath.bursts])
    return np.asarray(np.abs(time_s[..., None] - middle).argmin(axis=-1))


def geometric_coherence(reference: SubSwath, secondary: SubSwath, first: SceneView, second: SceneView) -> FloatArray:
    """Compute the coherence left by baseline, slope and Doppler difference for ideal ground, 0..1."""
    difference = first.range_slope - second.range_slope
    transposed = np.swapaxes(first.jacobian, -1, -2)
    determinant = np.linalg.det(transposed)
    folded = np.abs(determinant) < 1e-9
    transposed = np.where(folded[..., None, None], np.eye(2), transposed)
    per_pixel = np.linalg.solve(transposed, difference[..., None])[..., 0]  # metres per line, per sample
    wavelength = SPEED_OF_LIGHT_M_S / reference.radar_frequency_hz
    interval = reference.azimuth_time_interval_s
    doppler = _doppler(reference, first, nearest_burst(reference, first.time_s))
    doppler = doppler - _doppler(secondary, second, _partner(reference, secondary, first, second))
    azimuth, range_ = responses(reference)
    shift_azimuth = 2 / wavelength * per_pixel[..., 0] + doppler * interval
    shift_range = 2 / wavelength * per_pixel[..., 1]
    loss = np.abs(azimuth.overlap(shift_azimuth) * range_.overlap(shift_range))
    return np.where(folded, 0.0, loss)


def _partner(reference: SubSwath, secondary: SubSwath, first: SceneView, second: SceneView) -> npt.NDArray[np.int64]:
    """Return the burst of the secondary that shows the same ground as the reference's nearest burst."""
    offset = float(np.median(second.time_s - first.time_s))
    half = reference.lines_per_burst * reference.azimuth_time_interval_s / 2
    middles = np.array([b.azimuth_time_s + half + offset for b in reference.bursts])
    partner = nearest_burst(secondary, middles)
    return np.asarray(partner[nearest_burst(reference, first.time_s)])


def _doppler(swath: SubSwath, seen: SceneView, burst: npt.NDArray[np.int64]) -> FloatArray:
    frequency = np.empty(seen.time_s.shape)
    for index in np.unique(burst):
        here = burst == index
        carrier = burst_carrier(swath, int(index), 2 * seen.slant_range_m[here] / SPEED_OF_LIGHT_M_S)
        frequency[here] = carrier.frequency_hz(seen.time_s[here])
    return frequency


def thermal_coherence(snr_first: FloatArray, snr_second: FloatArray) -> FloatArray:
    """Compute the coherence left by noise at signal-to-noise power ratios of the two images."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.sqrt((1 + 1 / snr_first) * (1 + 1 / snr_second)))


def mask_of(local_incidence_deg: FloatArray) -> npt.NDArray[np.uint8]:
    """Compute the mask: 0 clear, 1 within 10 degrees of layover, 2 layover, 3 shadow."""
    mask = np.full(local_incidence_deg.shape, CLEAR, dtype=np.uint8)
    mask[local_incidence_deg < NEAR_LAYOVER_DEG] = NEAR_LAYOVER
    mask[local_incidence_deg <= 0] = LAYOVER
    mask[local_incidence_deg >= 90] = SHADOW
    return mask


def imaged(swath: SubSwath, seen: SceneView) -> npt.NDArray[np.bool_]:
    """Select the points in the valid part of some burst."""
    inside = np.zeros(seen.time_s.shape, dtype=bool)
    sample = sample_of(swath, seen.slant_range_m)
    for burst in swath.bursts:
        line = (seen.time_s - burst.azimuth_time_s) / swath.azimuth_time_interval_s
        lines, samples = burst.valid_lines, burst.valid_samples
        inside |= (
            (line >= lines.start) & (line <= lines.stop - 1) & (sample >= samples.start) & (sample <= samples.stop - 1)
        )
    return inside


def depth_m(swath: SubSwath, seen: SceneView) -> FloatArray:
    """Compute the distance of points from the nearer edge of a sub-swath's valid part, metres of slant range."""
    sample = sample_of(swath, seen.slant_range_m)
    first = max(burst.valid_samples.start for burst in swath.bursts)
    stop = min(burst.valid_samples.stop for burst in swath.bursts)
    return np.asarray(np.minimum(sample - first, stop - 1 - sample).clip(1e-6) * swath.range_spacing_m)


def write_truth(path: Path, grid: MapGrid, bands: dict[str, FloatArray], tags: dict[str, str]) -> Path:
    """Write named float32 bands on the map grid, NaN where there is no truth."""
    with (
        appears_whole(path) as partial,
        rasterio.open(
            partial, "w", driver="GTiff", dtype="float32", count=len(bands), height=grid.height, width=grid.width,
            crs=grid.crs, transform=grid.transform, nodata=np.nan, compress="deflate",
        ) as target,
    ):  # fmt: skip
        for index, (name, values) in enumerate(bands.items(), start=1):
            target.write(values.astype(np.float32), index)
            target.set_band_description(index, name)
        target.update_tags(**tags)
    return Path(path)
