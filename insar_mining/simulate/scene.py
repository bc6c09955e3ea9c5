"""Simulate one date of a scene: edit its metadata, simulate its pixels, write its product."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import ComplexArray, FloatArray
from insar_mining.errors import CoverageError, OptionError, SaturationWarning
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.simulate import annotation_xml as edit
from insar_mining.simulate import ground, pixels, truth
from insar_mining.simulate.geometry import shifted_orbit, to_ecef, zero_doppler
from insar_mining.simulate.ground import Scatterers
from insar_mining.simulate.safe import Image, SafeWriter, file_stem, tie_points, tiff_header
from insar_mining.simulate.templates import Template
from insar_mining.simulate.terrain import Terrain, flat

Place = tuple[FloatArray, FloatArray]
"""Zero-Doppler times (s) and slant ranges (m) of the scatterers."""

EDGE_SAMPLES = 48


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Describe one date of a stack.

    Attributes
    ----------
    template : Template
        Real metadata; its orbit and burst timing are those of the date.
    days : int
        Distance from the template's date, a multiple of 12.
    start_offset_s : float
        How much later along the track the bursts start than the template's.
    perpendicular_m, parallel_m : float
        Shift of the orbit along (line of sight x velocity) and along the line of sight.
    snow_coherence : float or None
        If given, the reflectivity seen on this date keeps only this correlation with the
        ground's, everywhere; the ground itself is found again on the next date.
    slice_number : int or None
        Of the product in its data take; by default counted from the template's, as
        :func:`insar_mining.simulate.safe.numbered_slice` does it.
    """

    template: Template
    days: int = 0
    start_offset_s: float = 0.0
    perpendicular_m: float = 0.0
    parallel_m: float = 0.0
    snow_coherence: float | None = None
    slice_number: int | None = None


@dataclass(frozen=True, eq=False)
class Settings:
    """Hold the settings of a simulated scene.

    Attributes
    ----------
    snr_db : float
        Signal-to-noise power ratio of flat ground of backscatter 0 dB at the scene's centre;
        ``inf`` for no noise.
    sigma_dn : float
        Standard deviation of the real (and imaginary) part of that ground's pixels, in DN.
    scatterers_per_cell : float
        Per resolution cell of flat ground.
    margin_m : float
        Ground simulated around the area.
    crop : bool
        Keep only the bursts that see the area; otherwise all of the sub-swath, with noise
        where nothing is simulated.
    crop_samples : bool
        Keep only the samples that see the area and its margin (with `crop`).
    zipped : bool
        Write zips instead of folders.
    """

    snr_db: float = 20.0
    sigma_dn: float = 75.0
    scatterers_per_cell: float = ground.SCATTERERS_PER_CELL
    margin_m: float = 300.0
    crop: bool = True
    crop_samples: bool = True
    zipped: bool = False


@dataclass(frozen=True, eq=False)
class Level:
    """Hold the power levels of the simulation, calibrated on flat ground at the scene's centre.

    Attributes
    ----------
    lattice_m : ndarray, shape (2, 2)
        Cell that holds one scatterer, see :func:`ground.scatter`.
    amplitude : float
        Root mean square of a scatterer's reflectivity at 0 dB.
    noise_sigma : float
        Root mean square of the receiver noise.
    snr : float
        Power ratio at 0 dB.
    pixels_m2 : float
        Pixels per square metre of that ground.
    energy : float
        Of a scatterer's response in the sub-swath that the powers were settled in; others have narrower
        bands, and more of it.
    """

    lattice_m: FloatArray
    amplitude: float
    noise_sigma: float
    snr: float
    pixels_m2: float
    energy: float

    @classmethod
    def of(cls, swath: SubSwath, area: BaseGeometry, terrain: Terrain, settings: Settings) -> Level:
        """Calibrate the power levels for an area seen in a sub-swath."""
        if not (settings.sigma_dn > 0 and settings.scatterers_per_cell >= 1 and settings.margin_m >= 0):
            raise OptionError(
                f"sigma_dn {settings.sigma_dn} must be > 0, scatterers_per_cell {settings.scatterers_per_cell} >= 1, "
                f"margin_m {settings.margin_m} >= 0"
            )
        x, y = Transformer.from_crs(4326, terrain.epsg, always_xy=True).transform(area.centroid.x, area.centroid.y)
        plain = flat(terrain.epsg, float(terrain.orthometric_m(x, y)))
        jacobian = truth.view(swath, plain, np.array([x]), np.array([y])).jacobian[0]
        pixels_m2 = float(np.abs(np.linalg.det(jacobian)))
        azimuth, range_ = pixels.responses(swath)
        side = 1 / np.sqrt(settings.scatterers_per_cell)
        lattice = np.linalg.inv(jacobian) @ np.diag([side / azimuth.band, side / range_.band])
        per_pixel = settings.scatterers_per_cell * azimuth.band * range_.band
        power = 2 * settings.sigma_dn**2
        amplitude = np.sqrt(power / (per_pixel * azimuth.energy * range_.energy))
        snr = 10 ** (settings.snr_db / 10)
        energy = azimuth.energy * range_.energy
        return cls(lattice, float(amplitude), float(np.sqrt(power / snr)), snr, pixels_m2, energy)

    def snr_of(self, swath: SubSwath, backscatter: FloatArray, jacobian: FloatArray) -> FloatArray:
        """Compute the signal-to-noise power ratio of ground (linear backscatter) in a sub-swath.

        Parameters
        ----------
        jacobian : ndarray, shape (..., 2, 2)
            Lines and samples per metre, see :class:`truth.SceneView`.
        """
        azimuth, range_ = pixels.responses(swath)
        density = np.abs(np.linalg.det(jacobian)).clip(1e-12)
        ratio = self.snr * backscatter * self.pixels_m2 / density
        return np.asarray(ratio * (azimuth.energy * range_.energy / self.energy))


@dataclass(frozen=True, eq=False)
class Ready:
    """Hold one prepared acquisition: edited annotations, parsed again as a reader would."""

    acquisition: Acquisition
    annotations: tuple[bytes, ...]
    swaths: tuple[SubSwath, ...]

    @property
    def date(self) -> dt.date:
        """UTC date of the first line."""
        swath = self.swaths[0]
        return dt.date.fromisoformat(str(swath.utc(swath.bursts[0].azimuth_time_s).astype("datetime64[D]")))


def prepare(
    acquisition: Acquisition,
    names: Sequence[str],
    polarisation: str,
    area: BaseGeometry,
    points: Scatterers,
    settings: Settings,
) -> tuple[Ready, list[Place]]:
    """Edit the annotations of one date, cut them to the area, and locate the scatterers in each sub-swath."""
    annotations, swaths, places = [], [], []
    for number, name in enumerate(names, start=1):
        xml = edit.later_product(
            acquisition.template.annotation(name, polarisation),
            days=acquisition.days,
            start_offset_s=acquisition.start_offset_s,
        )
        swath = parse_annotation(xml, source=name)
        if acquisition.perpendicular_m or acquisition.parallel_m:
            centre = to_ecef(area.centroid.x, area.centroid.y, 0.0)
            moved = shifted_orbit(swath.orbit, centre, acquisition.perpendicular_m, acquisition.parallel_m)
            xml = edit.with_orbit(xml, moved)
            swath = parse_annotation(xml, source=name)
        cut = edit.Cut(0, len(swath.bursts), 0, swath.samples_per_burst)
        if settings.crop:
            narrow = _cut(swath, points)
            cut = (
                narrow
                if settings.crop_samples
                else replace(cut, first_burst=narrow.first_burst, stop_burst=narrow.stop_burst)
            )
        xml = edit.cut_annotation(xml, cut, image_number=number)
        swath = parse_annotation(xml, source=name)
        annotations.append(xml)
        swaths.append(swath)
        places.append(zero_doppler(truth.path_of(swath), points.ecef_m))
    return Ready(acquisition, tuple(annotations), tuple(swaths)), places


def slimmed(template: Template, names: Sequence[str], polarisation: str, area: BaseGeometry) -> Template:
    """Return the template with only these sub-swaths, its long lists thinned to the surroundings of an area."""
    found = {}
    for name in names:
        xml = template.annotation(name, polarisation)
        swath = parse_annotation(xml, source=name)
        centre = to_ecef(area.centroid.x, area.centroid.y, 0.0)
        time, _ = zero_doppler(truth.path_of(swath), centre[None])
        found[name.upper(), polarisation.upper()] = edit.slim(xml, float(time[0]) - 6.0, float(time[0]) + 6.0)
    return Template(template.name, found, template.manifest)


def _cut(swath: SubSwath, points: Scatterers) -> edit.Cut:
    """Return the bursts whose valid part sees the area, and the samples of the area with its margin."""
    some = slice(None, None, max(1, len(points) // 50_000))
    time, slant = zero_doppler(truth.path_of(swath), points.ecef_m[some])
    inside = points.inside[some]
    sample = pixels.sample_of(swath, slant)
    first = max(int(np.floor(sample.min())) - EDGE_SAMPLES, 0)
    stop = min(int(np.ceil(sample.max())) + EDGE_SAMPLES + 1, swath.samples_per_burst)
    seen = []
    for burst in swath.bursts:
        line = (time - burst.azimuth_time_s) / swath.azimuth_time_interval_s
        lines, samples = burst.valid_lines, burst.valid_samples
        here = (line >= lines.start) & (line < lines.stop) & (sample >= samples.start) & (sample < samples.stop)
        if (here & inside).any():
            seen.append(burst.index)
    if not seen or first >= stop:
        raise CoverageError(
            f"no burst of {swath.swath} sees the area (it would lie at {time.min():.2f}..{time.max():.2f} s, samples "
            f"{sample.min():.0f}..{sample.max():.0f} of {swath.samples_per_burst}). "
            f"Choose an area inside the sub-swath."
        )
    return edit.Cut(seen[0], seen[-1] + 1, first, stop)


def write_product(
    out: Path,
    ready: Ready,
    places: Sequence[Place],
    amplitude: ComplexArray,
    noise_sigma: float,
    rng: np.random.Generator,
    *,
    zipped: bool = False,
) -> Path:
    """Simulate the pixels of one date and write its product, complete or not at all."""
    writer = SafeWriter(out)
    try:
        images = [
            _measure(writer, swath, xml, place, amplitude, noise_sigma, chance)
            for swath, xml, place, chance in zip(
                ready.swaths, ready.annotations, places, rng.spawn(len(ready.swaths)), strict=True
            )
        ]
        acquisition = ready.acquisition
        return writer.finish(
            images,
            acquisition.template.manifest,
            days=acquisition.days,
            zipped=zipped,
            slice_number=acquisition.slice_number,
        )
    finally:
        writer.discard()


def _measure(
    writer: SafeWriter, swath: SubSwath, xml: bytes, place: tuple[FloatArray, FloatArray],
    amplitude: npt.NDArray[np.complex128], noise_sigma: float, rng: np.random.Generator,
) -> Image:  # fmt: skip
    """Write the measurement of one sub-swath, burst by burst."""
    time, slant = place
    order = np.argsort(time, kind="stable")
    echoes = pixels.Echoes(time[order], slant[order], amplitude[order])
    path = writer.partial / "measurement" / f"{file_stem(swath, xml)}.tiff"
    lines = len(swath.bursts) * swath.lines_per_burst
    origin = dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))
    taken = origin + dt.timedelta(seconds=swath.bursts[0].azimuth_time_s)
    header = tiff_header(lines, swath.samples_per_burst, tie_points(swath), taken)
    count, clipped, total, squares = 0, 0, np.zeros(2), np.zeros(2)
    with path.open("wb") as target:
        target.write(header)
        for index in range(len(swath.bursts)):
            image = pixels.burst_image(swath, index, echoes, noise_sigma=noise_sigma, rng=rng)
            values, saturated = pixels.to_int16(image)
            target.write(values.astype("<i2", copy=False).tobytes())
            clipped += saturated
            count += values.shape[0] * values.shape[1]
            total += values.sum(axis=(0, 1), dtype=np.float64)
            squares += np.einsum("lsk,lsk->k", values, values, dtype=np.float64)
    if clipped:
        warnings.warn(
            f"{clipped} values of {path.name} exceed 16 bits and are clipped. Lower sigma_dn or the backscatter.",
            SaturationWarning,
            stacklevel=5,
        )
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    xml = edit.with_pixels(
        xml, first_byte=len(header), mean=complex(*mean), deviation=(float(deviation[0]), float(deviation[1]))
    )
    return Image(parse_annotation(xml, source=path.name), xml, path)
