"""Stacks and pairs of complete products with pixels of known coherence."""

from __future__ import annotations

import datetime as dt
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.errors import CoverageError, OptionError, SaturationWarning
from insar_mining.grid import MapGrid, utm_epsg
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.simulate import annotation_xml as edit
from insar_mining.simulate import ground, pixels, truth
from insar_mining.simulate.geometry import shifted_orbit, to_ecef, zero_doppler
from insar_mining.simulate.ground import MapFunction, Scatterers
from insar_mining.simulate.safe import Image, SafeWriter, file_stem, tie_points, tiff_header
from insar_mining.simulate.templates import Template
from insar_mining.simulate.terrain import ARC_SECOND_DEG, Terrain, flat, write_dem

_log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float64]

EDGE_SAMPLES = 48
DEM_MARGIN_DEG = 0.02
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One date of a stack.

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
    """

    template: Template
    days: int = 0
    start_offset_s: float = 0.0
    perpendicular_m: float = 0.0
    parallel_m: float = 0.0
    snow_coherence: float | None = None


@dataclass(frozen=True, eq=False)
class Settings:
    """How a scene is simulated.

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
        Keep only the bursts and samples that see the area (and its margin); otherwise
        all of the sub-swath, with noise where nothing is simulated.
    zipped : bool
        Write zips instead of folders.
    """

    snr_db: float = 20.0
    sigma_dn: float = 75.0
    scatterers_per_cell: float = ground.SCATTERERS_PER_CELL
    margin_m: float = 300.0
    crop: bool = True
    zipped: bool = False


@dataclass(frozen=True)
class SimulatedStack:
    """What was written: products in order of the acquisitions, the DEM, truth per pair."""

    products: tuple[Path, ...]
    dates: tuple[dt.date, ...]
    dem: Path
    truth: dict[tuple[int, int], Path]


@dataclass(frozen=True)
class SimulatedPair:
    """A simulated pair on disk."""

    reference: Path
    secondary: Path
    dem: Path
    truth: Path


@dataclass(frozen=True, eq=False)
class _Scene:
    """One acquisition made ready: edited annotations, parsed again as a reader would.

    `places` holds the zero-Doppler times and slant ranges of the scatterers per sub-swath.
    """

    acquisition: Acquisition
    annotations: tuple[bytes, ...]
    swaths: tuple[SubSwath, ...]
    places: tuple[tuple[FloatArray, FloatArray], ...]


def as_area(area: BaseGeometry | tuple[float, float, float, float]) -> BaseGeometry:
    """Take a polygon, or a box (west, south, east, north), in longitude and latitude."""
    return box(*area) if isinstance(area, tuple) else area


def simulate_pair(
    out: Path | str,
    *,
    reference: Template,
    secondary: Template | None = None,
    swath: str | Sequence[str] = "IW1",
    polarisation: str = "VV",
    area: BaseGeometry | tuple[float, float, float, float],
    terrain: Terrain,
    coherence: float | Path | MapFunction,
    rng: np.random.Generator,
    baseline_m: float = 0.0,
    start_offset_s: float = 0.0,
    backscatter_db: float | Path | MapFunction = 0.0,
    settings: Settings | None = None,
    grid: MapGrid | None = None,
    spacing_m: float = 20.0,
    progress: Progress | None = None,
) -> SimulatedPair:
    """Simulate two products of known coherence, with the DEM and the truth on a map.

    Parameters
    ----------
    out : Path
        Folder for the products, ``dem.tif`` and ``truth/<pair>.tif``.
    reference, secondary : Template
        Real metadata of the two dates.  Without a secondary, the reference's own track is
        repeated 12 days later.
    swath : str or sequence of str
        Sub-swath(s) to write.
    area : shapely geometry, or (west, south, east, north), longitude and latitude
    terrain : Terrain
    coherence : float, path of a raster, or function of (easting, northing) in ``terrain.epsg``
        Temporal coherence, 0..1.
    rng : numpy.random.Generator
    baseline_m : float
        Shift of the secondary's orbit along line of sight x velocity, on top of its own orbit.
    start_offset_s : float
        Shift of the secondary's burst start along the track, on top of its own timing.
    backscatter_db : float, path or function
    grid : MapGrid, optional
        Grid of the truth; by default around the area at `spacing_m`.

    Returns
    -------
    SimulatedPair

    Raises
    ------
    CoverageError
        No burst sees the area.
    OptionError, ProductError, OrbitError, OutputError
    """
    days = edit.REPEAT_DAYS if secondary is None else 0
    first = Acquisition(reference)
    second = Acquisition(secondary or reference, days, start_offset_s, baseline_m)
    temporal = ground.as_function(coherence, terrain.epsg, background=0.0)
    stack = simulate_stack(
        out, [first, second], swaths=swath, polarisation=polarisation, area=area, terrain=terrain,
        coherence=lambda index: temporal, rng=rng, backscatter_db=backscatter_db, settings=settings, grid=grid,
        spacing_m=spacing_m, progress=progress,
    )  # fmt: skip
    return SimulatedPair(stack.products[0], stack.products[1], stack.dem, stack.truth[0, 1])


def simulate_stack(
    out: Path | str,
    acquisitions: Sequence[Acquisition],
    *,
    swaths: str | Sequence[str] = "IW1",
    polarisation: str = "VV",
    area: BaseGeometry | tuple[float, float, float, float],
    terrain: Terrain,
    coherence: Callable[[int], MapFunction],
    rng: np.random.Generator,
    backscatter_db: float | Path | MapFunction = 0.0,
    settings: Settings | None = None,
    grid: MapGrid | None = None,
    spacing_m: float = 20.0,
    truth_pairs: Sequence[tuple[int, int]] | None = None,
    progress: Progress | None = None,
) -> SimulatedStack:
    """Simulate products of several dates over one piece of ground.

    The reflectivity of every scatterer is a first-order autoregressive chain: between
    acquisitions i and i + 1 its correlation is ``coherence(i)(x, y)``, so that of i and j is
    the product of the steps between them (times the snow of either date).

    Parameters
    ----------
    coherence : callable
        ``coherence(i)`` returns the map function of the step from acquisition i to i + 1.
    truth_pairs : sequence of (i, j), optional
        Pairs to write the truth of; by default all consecutive ones.
    progress : callable, optional
        Called with (dates done, dates in all).

    Other parameters, the files and the errors are those of :func:`simulate_pair`.
    """
    out, shape, settings = Path(out), as_area(area), settings or Settings()
    names = [swaths] if isinstance(swaths, str) else list(swaths)
    if len(acquisitions) < 1 or not names:
        raise OptionError(f"{len(acquisitions)} acquisitions of {len(names)} sub-swaths: nothing to simulate")
    centre = shape.centroid
    if terrain.epsg != utm_epsg(centre.x, centre.y):
        _log.info("the terrain lies in EPSG:%d, not in the UTM zone of the area", terrain.epsg)
    grid = grid or MapGrid.around(shape, spacing_m, epsg=terrain.epsg)
    typical = parse_annotation(acquisitions[0].template.annotation(names[0], polarisation), source="template")
    level = _Level.of(typical, shape, terrain, settings)
    brightness_db = ground.as_function(backscatter_db, terrain.epsg, background=0.0)

    streams = rng.spawn(1 + 2 * len(acquisitions))
    points = ground.scatter(shape, terrain, level.lattice_m, streams[0], margin_m=settings.margin_m)
    root_intensity = level.amplitude * 10 ** (brightness_db(points.easting_m, points.northing_m) / 20)
    scenes, products, underlying = [], [], None
    for index, acquisition in enumerate(acquisitions):
        chance = streams[1 + 2 * index]
        if underlying is None:
            underlying = ground.first_reflectivity(len(points), chance)
        else:
            step = ground.checked_coherence(coherence(index - 1)(points.easting_m, points.northing_m))
            underlying = ground.next_reflectivity(underlying, step, chance)
        seen = underlying
        if acquisition.snow_coherence is not None:
            snow = ground.checked_coherence(np.full(len(points), acquisition.snow_coherence))
            seen = ground.next_reflectivity(underlying, snow, chance)
        scene = _prepare(acquisition, names, polarisation, shape, points, settings)
        products.append(_write(out, scene, seen * root_intensity, level.noise_sigma, streams[2 + 2 * index], settings))
        scenes.append(scene)
        if progress is not None:
            progress(index + 1, len(acquisitions))

    west, south, east, north = shape.bounds
    around = (west - DEM_MARGIN_DEG, south - DEM_MARGIN_DEG, east + DEM_MARGIN_DEG, north + DEM_MARGIN_DEG)
    dem = write_dem(terrain, around, out / "dem.tif", step_deg=ARC_SECOND_DEG)
    pairs = truth_pairs if truth_pairs is not None else [(i, i + 1) for i in range(len(scenes) - 1)]
    written = {
        (i, j): _write_truth(out, scenes[i], scenes[j], _temporal(scenes, i, j, coherence, grid), terrain, grid,
                             brightness_db, level)
        for i, j in pairs
    }  # fmt: skip
    return SimulatedStack(tuple(products), tuple(_date(s) for s in scenes), dem, written)


@dataclass(frozen=True, eq=False)
class _Level:
    """Powers of the simulation, settled on flat ground at the scene's centre.

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
    """

    lattice_m: FloatArray
    amplitude: float
    noise_sigma: float
    snr: float
    pixels_m2: float

    @classmethod
    def of(cls, swath: SubSwath, area: BaseGeometry, terrain: Terrain, settings: Settings) -> _Level:
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
        return cls(lattice, float(amplitude), float(np.sqrt(power / snr)), snr, pixels_m2)


def _prepare(
    acquisition: Acquisition, names: Sequence[str], polarisation: str, area: BaseGeometry, points: Scatterers,
    settings: Settings,
) -> _Scene:  # fmt: skip
    """Edit the annotations of one date and cut them to the area."""
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
        place = zero_doppler(truth.path_of(swath), points.ecef_m)
        places.append(place)  # cutting leaves the orbit alone, so this holds for the cut product too
        cut = _cut(swath, points, *place) if settings.crop else _whole(swath)
        xml = edit.cut_annotation(xml, cut, image_number=number)
        annotations.append(xml)
        swaths.append(parse_annotation(xml, source=name))
    return _Scene(acquisition, tuple(annotations), tuple(swaths), tuple(places))


def _whole(swath: SubSwath) -> edit.Cut:
    return edit.Cut(0, len(swath.bursts), 0, swath.samples_per_burst)


def _cut(swath: SubSwath, points: Scatterers, time: FloatArray, slant: FloatArray) -> edit.Cut:
    """Bursts whose valid part sees the area, and the samples of the area with its margin."""
    sample = pixels.sample_of(swath, slant)
    first = max(int(np.floor(sample.min())) - EDGE_SAMPLES, 0)
    stop = min(int(np.ceil(sample.max())) + EDGE_SAMPLES + 1, swath.samples_per_burst)
    seen = []
    for burst in swath.bursts:
        line = (time - burst.azimuth_time_s) / swath.azimuth_time_interval_s
        lines, samples = burst.valid_lines, burst.valid_samples
        here = (line >= lines.start) & (line < lines.stop) & (sample >= samples.start) & (sample < samples.stop)
        if (here & points.inside).any():
            seen.append(burst.index)
    if not seen or first >= stop:
        raise CoverageError(
            f"no burst of {swath.swath} sees the area (it would lie at {time.min():.2f}..{time.max():.2f} s, samples "
            f"{sample.min():.0f}..{sample.max():.0f} of {swath.samples_per_burst}); choose an area inside the sub-swath"
        )
    return edit.Cut(seen[0], seen[-1] + 1, first, stop)


def _write(
    out: Path, scene: _Scene, amplitude: npt.NDArray[np.complex128], noise_sigma: float,
    rng: np.random.Generator, settings: Settings,
) -> Path:  # fmt: skip
    writer = SafeWriter(out)
    try:
        images = [
            _measure(writer, swath, xml, place, amplitude, noise_sigma, chance)
            for swath, xml, place, chance in zip(
                scene.swaths, scene.annotations, scene.places, rng.spawn(len(scene.swaths)), strict=True
            )
        ]
        template = scene.acquisition.template
        return writer.finish(images, template.manifest, days=scene.acquisition.days, zipped=settings.zipped)
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
            f"{clipped} values of {path.name} exceed 16 bits and are clipped; lower sigma_dn or the backscatter",
            SaturationWarning,
            stacklevel=5,
        )
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    xml = edit.with_pixels(
        xml, first_byte=len(header), mean=complex(*mean), deviation=(float(deviation[0]), float(deviation[1]))
    )
    return Image(parse_annotation(xml, source=path.name), xml, path)


def _temporal(
    scenes: Sequence[_Scene], first: int, second: int, coherence: Callable[[int], MapFunction], grid: MapGrid
) -> FloatArray:
    x, y = np.meshgrid(grid.x, grid.y)
    value = np.ones(grid.shape)
    for step in range(first, second):
        value *= ground.checked_coherence(coherence(step)(x, y))
    for index in (first, second):
        snow = scenes[index].acquisition.snow_coherence
        value *= 1.0 if snow is None else snow
    return value


def _write_truth(
    out: Path, first: _Scene, second: _Scene, temporal: FloatArray, terrain: Terrain, grid: MapGrid,
    brightness_db: MapFunction, level: _Level,
) -> Path:  # fmt: skip
    """Write the truth of a pair; where several sub-swaths see a cell, the first named one counts."""
    x, y = np.meshgrid(grid.x, grid.y)
    bands = {name: np.full(grid.shape, np.nan) for name in truth.BANDS}
    backscatter = 10 ** (brightness_db(x, y) / 10)
    for reference, secondary in zip(first.swaths, second.swaths, strict=True):
        seen, again = (truth.view(s, terrain, x, y) for s in (reference, secondary))
        inside = truth.imaged(reference, seen) & truth.imaged(secondary, again) & np.isnan(bands["coherence"])
        geometric = truth.geometric_coherence(reference, secondary, seen, again)
        snr = [
            level.snr * backscatter * level.pixels_m2 / np.abs(np.linalg.det(v.jacobian)).clip(1e-12)
            for v in (seen, again)
        ]
        thermal = truth.thermal_coherence(*snr) if np.isfinite(level.snr) else np.ones(grid.shape)
        mask = truth.mask_of(seen.local_incidence_deg)
        clear = mask < truth.LAYOVER
        parts = {
            "coherence": np.where(clear, temporal * geometric * thermal, np.nan),
            "temporal": temporal,
            "geometric": np.where(clear, geometric, np.nan),
            "thermal": np.where(clear, thermal, np.nan),
            "mask": mask.astype(np.float64),
            "local_incidence_deg": seen.local_incidence_deg,
        }
        for name, values in parts.items():
            bands[name] = np.where(inside, values, bands[name])
    dates = [_date(s) for s in (first, second)]
    tags = {"REFERENCE_DATE": dates[0].isoformat(), "SECONDARY_DATE": dates[1].isoformat(), "SIMULATED": "YES"}
    name = f"{dates[0]:%Y%m%d}_{dates[1]:%Y%m%d}.tif"
    return truth.write_truth(out / "truth" / name, grid, bands, tags)


def _date(scene: _Scene) -> dt.date:
    swath = scene.swaths[0]
    return dt.date.fromisoformat(str(swath.utc(swath.bursts[0].azimuth_time_s).astype("datetime64[D]")))


def with_days(acquisition: Acquisition, days: int) -> Acquisition:
    """Return the acquisition moved to another repeat of the orbit."""
    return replace(acquisition, days=days)
