"""A Sentinel-1 IW SLC product: what it is, its sub-swaths, and the pixels of its bursts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from shapely.geometry import MultiPolygon, Polygon
from shapely.ops import unary_union

from insar_mining.arrays import Complex64Array
from insar_mining.errors import CoverageError, OrbitError, ProductError
from insar_mining.sentinel1.annotation import SubSwath, midnight_before, parse_annotation
from insar_mining.sentinel1.container import open_container
from insar_mining.sentinel1.joined import SEPARATOR, JoinedContainer, JoinedLayout, joined_manifest
from insar_mining.sentinel1.layouts import NAME, BurstLayout, Layout, Pixels, SwathKey, find_layout
from insar_mining.sentinel1.manifest import Manifest, footprint_polygon
from insar_mining.sentinel1.measurement import TiffLayout, announce_window, read_layout, read_window
from insar_mining.sentinel1.orbit import Orbit, read_orbit_file
from insar_mining.sentinel1.plausible import check_plausible
from insar_mining.sentinel1.track import relative_orbit_of

_START_TOLERANCE = np.timedelta64(10, "s")


@dataclass(frozen=True, eq=False)
class Product:
    """Describe one acquisition; made by :func:`open_product`, or by :func:`join` from its slices.

    It keeps no file open, can be pickled, and may be used by several threads.

    Attributes
    ----------
    path : Path
        The SAFE folder, zip or burst folder; of joined slices all of them, with ``:`` between
        (``;`` on Windows), which :func:`open_product` takes again.
    name : str
        The product's name (without ``.SAFE``), those of joined slices with ``+`` between.
    platform : str
        ``"S1A"`` ... ``"S1D"``.
    start, stop : numpy.datetime64
        First and last zero-Doppler time, nanoseconds UTC.
    relative_orbit : int or None
        From the manifest; where it is silent, computed from the absolute orbit.  None for an unknown satellite,
        and then :func:`insar_mining.select_pairs` does not pair the product.
    data_take : str or None
        Mission data take, six hexadecimal digits, from the product's name; None if that does not tell.
    direction : str
        ``"ascending"`` or ``"descending"``.
    polarisations, swaths : tuple of str
        What the product holds, sorted: ``("VH", "VV")``, ``("IW1", "IW2", "IW3")``.
    ipf_version : str or None
        Version of ESA's processor.
    footprint : shapely Polygon or MultiPolygon
        Longitude and latitude in degrees; from the manifest, else from the geolocation
        grid of the first sub-swath.  Two parts where it crosses the antimeridian.
    epoch : numpy.datetime64
        Origin of all times in seconds: the midnight before `start`, the same for every
        sub-swath.
    """

    path: Path
    name: str
    platform: str
    start: np.datetime64
    stop: np.datetime64
    relative_orbit: int | None
    absolute_orbit: int
    data_take: str | None
    direction: str
    polarisations: tuple[str, ...]
    swaths: tuple[str, ...]
    ipf_version: str | None
    footprint: Polygon | MultiPolygon
    epoch: np.datetime64
    _layout: Layout = field(repr=False)
    _orbit: Orbit | None = field(default=None, repr=False)
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be read again."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_cache", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with an empty cache."""
        self.__dict__.update(state, _cache={}, _lock=threading.RLock())

    @property
    def images(self) -> tuple[SwathKey, ...]:
        """Every pair of sub-swath and polarisation that the product holds, sorted."""
        return self._layout.keys

    def sub_swath(self, swath: str, polarisation: str) -> SubSwath:
        """Return the annotation of a sub-swath; the second call costs nothing.

        All sub-swaths of a product have the same `epoch`.  Of single bursts only those
        that have pixels are listed; the geolocation grid is then still that of the
        scene they were cut from.

        Raises
        ------
        ProductError
            The product has no such sub-swath or polarisation, or its annotation is
            damaged or belongs to another product.
        """
        key = self._key(swath, polarisation)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = self._read_sub_swath(key)
            found: SubSwath = self._cache[key]
        return found

    def read_burst(
        self,
        swath: str,
        polarisation: str,
        burst_index: int,
        lines: slice | None = None,
        samples: slice | None = None,
    ) -> Complex64Array:
        """Read the pixels of a burst, or of a window in it; only these bytes are read.

        Parameters
        ----------
        burst_index : int
            0-based index into ``sub_swath(swath, polarisation).bursts``.
        lines, samples : slice, optional
            Window inside the burst (start inclusive, stop exclusive, no step); by
            default all.  Samples outside the valid ones come as they are in the file
            (usually zero).

        Returns
        -------
        ndarray of complex64, shape (lines, samples)

        Raises
        ------
        ProductError
            The measurement is missing, empty, truncated, damaged or another image.
        CoverageError
            There is no such burst, or the window reaches beyond it.
        """
        pixels, layout, rows, columns = self._located(swath, polarisation, burst_index, lines, samples)
        # a slice may hold fewer samples than the image that it was joined to
        first, stop = (min(max(n - pixels.first_sample, 0), layout.width) for n in (columns.start, columns.stop))
        image = read_window(self._layout.container, pixels.file, layout, rows, slice(first, stop))
        if image.shape[1] == columns.stop - columns.start:
            return image
        wide = np.zeros((image.shape[0], columns.stop - columns.start), dtype=np.complex64)
        at = max(pixels.first_sample - columns.start, 0)
        wide[:, at : at + image.shape[1]] = image
        return wide

    def announce_burst(self, swath: str, polarisation: str, burst_index: int, lines: slice, samples: slice) -> None:
        """Announce that a window of a burst will be read soon, so that the disk works meanwhile.

        Parameters and errors are those of :meth:`read_burst`.
        """
        pixels, layout, rows, columns = self._located(swath, polarisation, burst_index, lines, samples)
        first, stop = (min(max(n - pixels.first_sample, 0), layout.width) for n in (columns.start, columns.stop))
        announce_window(self._layout.container, pixels.file, layout, rows, slice(first, stop))

    def _located(
        self, swath: str, polarisation: str, burst_index: int, lines: slice | None, samples: slice | None
    ) -> tuple[Pixels, TiffLayout, slice, slice]:
        """Find a window of a burst: its file, the lines there, and the samples of the burst."""
        key = self._key(swath, polarisation)
        annotation = self.sub_swath(*key)
        pixels = self._pixels(key, annotation, burst_index)
        layout = self._tiff(pixels, annotation)
        rows = _window(lines, annotation.lines_per_burst, "lines", burst_index)
        columns = _window(samples, annotation.samples_per_burst, "samples", burst_index)
        return pixels, layout, slice(rows.start + pixels.first_line, rows.stop + pixels.first_line), columns

    def measurement(self, swath: str, polarisation: str, burst_index: int) -> str:
        """Return the full name of the file that holds a burst's pixels, for messages."""
        key = self._key(swath, polarisation)
        return self._layout.container.where(self._pixels(key, self.sub_swath(*key), burst_index).file)

    def check_measurement(self, swath: str, polarisation: str) -> None:
        """Check, without reading pixels, that the measurement is there, whole and the right one.

        Raises
        ------
        ProductError
            As :meth:`read_burst`.
        """
        key = self._key(swath, polarisation)
        annotation = self.sub_swath(*key)
        for burst in annotation.bursts:
            self._tiff(self._pixels(key, annotation, burst.index), annotation)

    def with_orbit_file(self, path: Path | str) -> Product:
        """Return the same product with the state vectors of an EOF file (POEORB, RESORB).

        Raises
        ------
        OrbitError
            The file is damaged, of another satellite, or does not cover the product.
        """
        start, stop = ((t - self.epoch) / np.timedelta64(1, "s") for t in (self.start, self.stop))
        orbit = read_orbit_file(path, epoch=self.epoch, start_s=start, stop_s=stop, platform=self.platform)
        return replace(self, _orbit=orbit, _cache={}, _lock=threading.RLock())

    def identity(self) -> str:
        """Return a hash of the product's name, its manifest and the sizes of its files.

        The manifest holds a checksum of every file; where there is none, the annotations themselves are taken.
        It does not depend on where the product lies, nor on whether it is zipped. That the files are what the manifest
        says is checked by ``insar-mining verify``, not here: it takes reading them all.
        """
        whole = self._layout.container
        digest = hashlib.sha256(self.name.encode())
        for container in whole.parts if isinstance(whole, JoinedContainer) else (whole,):
            files = sorted(container.sizes.items())
            unsaid = not any(file.lower() == "manifest.safe" for file, _ in files)
            for file, size in files:
                if file.startswith(("annotation/s1", "measurement/")) or file.lower().endswith((".tiff", ".tif")):
                    digest.update(f"\n{file} {size}".encode())
                if file.lower() == "manifest.safe" or (unsaid and file.startswith("annotation/s1")):
                    digest.update(container.read(file))
        return digest.hexdigest()

    def _key(self, swath: str, polarisation: str) -> SwathKey:
        key = (swath.upper(), polarisation.upper())
        if key not in self._layout.keys:
            raise ProductError(self._layout.why_absent(key))
        return key

    def _read_sub_swath(self, key: SwathKey) -> SubSwath:
        xml, source = self._layout.annotation(key)
        swath = parse_annotation(xml, source=source, epoch=self.epoch, ipf_version=self.ipf_version)
        said = (swath.swath, swath.polarisation, swath.platform, swath.absolute_orbit)
        orbits = (self.absolute_orbit, self.absolute_orbit + 1)  # the number changes inside a data take, at the node
        expected = (*key, self.platform, swath.absolute_orbit if swath.absolute_orbit in orbits else orbits[0])
        # of single bursts the first one kept: the scene that they were cut from may begin much earlier
        kept = self._layout.select(key, swath)
        first = kept.utc(kept.bursts[0].azimuth_time_s)
        if said != expected or not self.start - _START_TOLERANCE <= first <= self.stop + _START_TOLERANCE:
            raise ProductError(
                f"{source}: describes {' '.join(map(str, said))} at {first}, expected {' '.join(map(str, expected))} "
                f"from {self.start} to {self.stop}; it belongs to another product, fetch this one again"
            )
        check_plausible(kept, source)
        if self._orbit is not None:
            kept = replace(kept, orbit=self._orbit)
        return kept

    def _pixels(self, key: SwathKey, annotation: SubSwath, burst_index: int) -> Pixels:
        if not 0 <= burst_index < len(annotation.bursts):
            raise CoverageError(
                f"{self.path}: {' '.join(key)} has bursts 0 to {len(annotation.bursts) - 1}, asked for {burst_index}"
            )
        pixels: dict[int, Pixels] = self._cache.setdefault(("pixels", *key), {})
        if burst_index not in pixels:
            pixels[burst_index] = self._layout.pixels(key, annotation, burst_index)
        return pixels[burst_index]

    def _tiff(self, pixels: Pixels, annotation: SubSwath) -> TiffLayout:
        with self._lock:
            layout: TiffLayout | None = self._cache.get(pixels.file)
            if layout is None:
                layout = read_layout(self._layout.container, pixels.file)
                width = annotation.samples_per_burst if pixels.width is None else pixels.width
                if (layout.height, layout.width) != (pixels.height, width):
                    raise ProductError(
                        f"{self._layout.container.where(pixels.file)}: {layout.height} lines of {layout.width} "
                        f"samples, the annotation says {pixels.height} of {width}; it belongs to another product, "
                        "fetch this one again"
                    )
                self._cache[pixels.file] = layout
        return layout


def open_product(path: Path | str, *, require_manifest: bool = True) -> Product:
    """Open a product: a SAFE folder, its zip (read in place), a folder of single bursts, or several slices.

    Only the manifest and the names and sizes of the files are read here; a missing or
    truncated measurement is reported by :meth:`Product.check_measurement` and
    :meth:`Product.read_burst`.

    Single bursts are read in the layout of ASF's burst extractor, as its documentation
    and its users' code describe it.  No real extract was at hand: this part is checked
    against files made after that description only.

    Parameters
    ----------
    path : path
        May also be the ``manifest.safe`` inside the folder.  Slices of one data take are joined where
        a folder holds several products, or several paths are given with ``:`` between (``;`` on Windows).
    require_manifest : bool
        Refuse a SAFE product without manifest.  When False such a product opens with
        the relative orbit that its absolute orbit gives, and can be used where two products are named explicitly.

    Raises
    ------
    ProductError
        Nothing is there, it is no Sentinel-1 IW SLC product, it is incomplete, or a file
        in it belongs to another product.
    """
    path = Path(path)
    slices = _slices(path)
    if slices:
        return join([open_product(one, require_manifest=require_manifest) for one in slices])
    if path.name.lower() == "manifest.safe" and path.is_file():
        path = path.parent
    layout = find_layout(open_container(path), require_manifest=require_manifest)
    facts = _facts(layout)
    return Product(
        path=path,
        name=layout.name,
        relative_orbit=facts.relative_orbit or relative_orbit_of(facts.platform, facts.absolute_orbit),
        data_take=None if (match := NAME.search(layout.name)) is None else match["take"],
        polarisations=tuple(sorted({polarisation for _, polarisation in layout.keys})),
        swaths=tuple(sorted({swath for swath, _ in layout.keys})),
        ipf_version=facts.ipf_version,
        **{name: _known(getattr(facts, name), name, layout) for name in _NEEDED},
        epoch=midnight_before(_known(facts.start, "start", layout)),
        _layout=layout,
    )


def with_orbit(product: Product, orbits: Sequence[Path | str]) -> tuple[Product, Path | None]:
    """Return the product with the first orbit file that covers it, and that file.

    Raises
    ------
    OrbitError
        Files are given and none covers the product.
    """
    reasons = []
    for path in orbits:
        try:
            return product.with_orbit_file(Path(path)), Path(path)
        except OrbitError as error:
            reasons.append(str(error))
    if reasons:
        raise OrbitError(f"no orbit file fits {product.name}: " + "; ".join(reasons))
    return product, None


def join(products: Sequence[Product]) -> Product:
    """Join the slices of one data take to one product, as if the take had never been cut.

    Bursts of all slices follow one another in time; those that two slices hold are taken once.
    Images whose first ranges lie whole samples apart are widened to hold both, with no valid sample
    where a slice has none.

    Parameters
    ----------
    products : sequence of Product
        In any order, as :func:`open_product` returns them; an orbit file is given to the joined product.

    Raises
    ------
    ProductError
        They are not of one data take, or already have an orbit file.  That they do not follow one another,
        or that their images are sampled differently, is found when a sub-swath is read.
    """
    ordered = sorted(products, key=lambda product: (product.start, product.name))
    if not ordered:
        raise ProductError("no product to join. Give the slices of one data take.")
    if len(ordered) == 1:
        return ordered[0]
    first = ordered[0]
    for other in ordered[1:]:
        differing = () if _cross_the_node(first, other) else ("absolute_orbit", "relative_orbit")
        for what in ("platform", "direction", *differing):
            ours, theirs = getattr(first, what), getattr(other, what)
            if ours != theirs:
                raise ProductError(
                    f"{first.path} and {other.path} are no slices of one data take (their {what.replace('_', ' ')} is "
                    f"{ours} and {theirs}); several products in one folder are taken for slices, give each date its own"
                )
    if any(product._orbit is not None for product in ordered):
        raise ProductError(
            f"{first.path}: has its orbit file already. Join the slices first, then give the orbit file."
        )
    layouts = tuple(product._layout for product in ordered)
    container = JoinedContainer([layout.container for layout in layouts])
    name = "+".join(product.name for product in ordered)
    layout = JoinedLayout(container, name, joined_manifest(layouts), layouts)
    return replace(
        first,
        path=container.path,
        name=name,
        stop=max(product.stop for product in ordered),
        polarisations=tuple(sorted({polarisation for _, polarisation in layout.keys})),
        swaths=tuple(sorted({swath for swath, _ in layout.keys})),
        ipf_version=first.ipf_version if len({product.ipf_version for product in ordered}) == 1 else None,
        footprint=unary_union([product.footprint for product in ordered]),
        _layout=layout,
        _cache={},
        _lock=threading.RLock(),
    )


def _cross_the_node(one: Product, other: Product) -> bool:
    """Check whether two slices of one data take lie on both sides of the ascending node, where orbits are counted."""
    is_one_take = one.data_take is not None and one.data_take == other.data_take
    return is_one_take and other.absolute_orbit - one.absolute_orbit in (0, 1)


def _slices(path: Path) -> list[Path]:
    """Return the products of which a path stands for several; none if it is a product itself."""
    if not path.exists():
        parts = [Path(part) for part in str(path).split(SEPARATOR)]
        return parts if len(parts) > 1 and all(part.exists() for part in parts) else []
    if not path.is_dir() or path.suffix.upper() == ".SAFE" or (path / "manifest.safe").is_file():
        return []
    try:
        children = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    except OSError:
        return []  # opening the folder raises the reason why it cannot be listed
    if any(child.is_file() and "-BURST.TIF" in child.name.upper() for child in children):
        return []
    return [child for child in children if _is_slice(child)]


def _is_slice(path: Path) -> bool:
    if path.is_dir():
        return path.suffix.upper() == ".SAFE" or (path / "manifest.safe").is_file()
    return path.suffix.lower() == ".zip" and NAME.search(path.name) is not None


_NEEDED = ("platform", "start", "stop", "absolute_orbit", "direction", "footprint")


def _known(value: Any, name: str, layout: Layout) -> Any:
    if value is None:
        raise ProductError(f"{layout.container.path}: neither manifest nor annotation states its {name}")
    return value


def _facts(layout: Layout) -> Manifest:
    """Return what the manifest says; what it leaves out comes from the annotations."""
    facts = layout.manifest or Manifest()
    if isinstance(layout, BurstLayout):  # its manifest describes the scene that the bursts were cut from
        facts = replace(facts, footprint=None, start=None, stop=None)
    if all(getattr(facts, name) is not None for name in _NEEDED):
        return facts
    parsed = []
    for key in layout.keys:
        xml, source = layout.annotation(key)
        swath = layout.select(key, parse_annotation(xml, source=source))
        check_plausible(swath, source)
        parsed.append(swath)
    first = parsed[0]
    found = Manifest(
        platform=first.platform,
        start=min(s.utc(s.bursts[0].azimuth_time_s) for s in parsed),
        stop=max(s.utc(_last_line_time_s(s)) for s in parsed),
        absolute_orbit=first.absolute_orbit,
        direction=first.orbit_direction,
        footprint=unary_union([_footprint(s) for s in parsed]),
    )
    return replace(facts, **{name: getattr(found, name) for name in _NEEDED if getattr(facts, name) is None})


def _last_line_time_s(swath: SubSwath) -> float:
    return swath.bursts[-1].azimuth_time_s + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s


def _footprint(swath: SubSwath) -> Polygon | MultiPolygon:
    """Return near and far edge of the tie points, from the first burst's first line to the last one's last."""
    grid = swath.geolocation
    start, stop = swath.bursts[0].azimuth_time_s, _last_line_time_s(swath)
    inside = (grid.azimuth_time_s[:, 0] > start) & (grid.azimuth_time_s[:, 0] < stop)
    times = np.concatenate([[start], grid.azimuth_time_s[inside, 0], [stop]])
    corners = []
    for column, order in ((0, times), (-1, times[::-1])):
        longitude = np.unwrap(grid.longitude_deg[:, column], period=360)
        at = grid.azimuth_time_s[:, column]
        lon, lat = np.interp(order, at, longitude), np.interp(order, at, grid.latitude_deg[:, column])
        corners += list(zip(((lon + 180) % 360 - 180).tolist(), lat.tolist(), strict=True))
    return footprint_polygon(corners)


def _window(window: slice | None, size: int, name: str, burst_index: int) -> slice:
    """Return a window with a start and a stop, checked against the burst."""
    if window is None:
        return slice(0, size)
    start, stop = window.start or 0, size if window.stop is None else window.stop
    if window.step not in (None, 1) or not 0 <= start <= stop <= size:
        raise CoverageError(
            f"burst {burst_index} has {name} 0 to {size - 1}; the window {window.start}:{window.stop}:{window.step} is "
            "not inside (negative bounds and steps are not taken)"
        )
    return slice(start, stop)
