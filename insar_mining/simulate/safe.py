"""Write SAFE products: measurement TIFF, annotation, manifest; folder or zip."""

from __future__ import annotations

import binascii
import datetime as dt
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.errors import OutputError
from insar_mining.files import ANYTHING, TEMPORARY, appears_whole, delete, replace_folder, temporary_name
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.safe_manifest import SAFE_FILES, SafeFile, manifest_of, to_bytes
from insar_mining.simulate.annotation_xml import ORBITS_PER_CYCLE, REPEAT_DAYS, data_take, image_number, shift_days

SOFTWARE = "insar_mining.simulate"
BURST_CYCLE_S = 2.758273  # from one burst of a sub-swath to the next (IW)
OWN_SLICE = re.compile(rb"(</productComposition>\s*<sliceNumber>)\d+")
NOTICE = "Simulated pixels under the metadata of a real product; not an observation"


@dataclass(frozen=True, eq=False)
class Image:
    """Describe one sub-swath and polarisation of a product to be written."""

    swath: SubSwath
    annotation: bytes
    tiff: Path


def tiff_header(lines: int, samples: int, tie_points: npt.NDArray[np.float64], time: dt.datetime) -> bytes:
    """Write the header of a classic TIFF with one uncompressed CInt16 strip per line, as the processor does.

    Parameters
    ----------
    tie_points : ndarray, shape (n, 5)
        sample, line, longitude, latitude, height of the geolocation grid.
    """
    gcps = np.zeros((len(tie_points), 6))
    gcps[:, 0], gcps[:, 1] = tie_points[:, 0], tie_points[:, 1]
    gcps[:, 3:] = tie_points[:, 2:]
    geokeys = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
    text = {270: NOTICE, 305: SOFTWARE, 306: time.strftime("%Y:%m:%d %H:%M:%S")}
    strip = samples * 4
    entries: list[tuple[int, int, int, bytes]] = [
        (256, 4, 1, struct.pack("<I", samples)),
        (257, 4, 1, struct.pack("<I", lines)),
        (258, 3, 1, struct.pack("<H", 32)),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", 1)),
        (273, 4, lines, b"\0" * 4 * lines),
        (277, 3, 1, struct.pack("<H", 1)),
        (278, 3, 1, struct.pack("<H", 1)),
        (279, 4, lines, np.full(lines, strip, dtype="<u4").tobytes()),
        (339, 3, 1, struct.pack("<H", 5)),  # complex integer
        (33922, 12, gcps.size, gcps.astype("<f8").tobytes()),
        (34735, 3, len(geokeys), struct.pack(f"<{len(geokeys)}H", *geokeys)),
        *((tag, 2, len(value) + 1, value.encode("ascii") + b"\0") for tag, value in text.items()),
    ]
    entries.sort()
    head = 8 + 2 + 12 * len(entries) + 4
    first_byte = head + sum(len(data) + len(data) % 2 for _, _, _, data in entries if len(data) > 4)
    offsets = first_byte + np.arange(lines, dtype=np.int64) * strip
    if offsets[-1] + strip > 2**32:
        raise OutputError(f"an image of {lines} x {samples} samples exceeds the 4 GiB of a TIFF. Keep fewer bursts.")
    directory, behind = struct.pack("<H", len(entries)), b""
    for tag, kind, count, data in entries:
        content = offsets.astype("<u4").tobytes() if tag == 273 else data
        directory += struct.pack("<HHI", tag, kind, count)
        if len(content) <= 4:
            directory += content.ljust(4, b"\0")
        else:
            directory += struct.pack("<I", head + len(behind))
            behind += content + b"\0" * (len(content) % 2)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + b"\0\0\0\0" + behind


def tie_points(swath: SubSwath) -> npt.NDArray[np.float64]:
    """Convert tie points of an annotation for `tiff_header`."""
    grid = swath.geolocation
    columns = (grid.sample, grid.line, grid.longitude_deg, grid.latitude_deg, grid.height_m)
    return np.stack([np.asarray(c, dtype=np.float64).ravel() for c in columns], axis=1)


class SafeWriter:
    """Collect the files of one product beside its final place and move them there in one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partial = temporary_name(folder / "product.SAFE", folder=True)
        try:
            (self.partial / "annotation").mkdir(parents=True)
            (self.partial / "measurement").mkdir()
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error}. Choose another folder.") from error

    def discard(self) -> None:
        """Delete what was written so far."""
        delete(self.partial, TEMPORARY, ANYTHING)

    def finish(
        self, images: Sequence[Image], manifest: bytes, *, days: int, zipped: bool, slice_number: int | None = None
    ) -> Path:
        """Write annotations and manifest, and move everything to the product's name.

        Parameters
        ----------
        images : sequence of Image
            With their TIFFs already in ``partial/measurement``.
        manifest : bytes
            The template's.
        days : int
            Distance from the template's date.
        zipped : bool
            One zip with deflated members instead of a folder.
        slice_number : int, optional
            Of the product in its data take; by default see :func:`numbered_slice`.

        Returns
        -------
        Path
            ``S1A_IW_SLC__....SAFE`` or ``....zip``.
        """
        files = []
        shifted = shift_days(manifest, days)
        number = numbered_slice(shifted, images) if slice_number is None else slice_number
        for image in images:
            annotation = self.partial / "annotation" / f"{image.tiff.stem}.xml"
            annotation.write_bytes(_with_slice(image.annotation, number))
            files += [SafeFile("product", annotation), SafeFile("measurement", image.tiff)]
        first = images[0].swath
        text = _manifest(shifted, images, files, self.partial, days, number)
        (self.partial / "manifest.safe").write_bytes(text)
        start, stop = _span(images)
        unique = binascii.crc_hqx(text, 0xFFFF)
        polarisation = "SV" if first.polarisation.startswith("V") else "SH"
        name = (
            f"{first.platform}_IW_SLC__1S{polarisation}_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_"
            f"{first.absolute_orbit:06d}_{data_take(images[0].annotation):06X}_{unique:04X}"
        )
        return self._place(name, zipped)

    def _place(self, name: str, zipped: bool) -> Path:
        final = self.folder / (f"{name}.zip" if zipped else f"{name}.SAFE")
        if zipped:
            with (
                appears_whole(final) as partial,
                zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            ):
                for path in sorted(self.partial.rglob("*")):
                    archive.write(path, f"{name}.SAFE/{path.relative_to(self.partial).as_posix()}")
            self.discard()
            return final
        try:
            replace_folder(self.partial, final, SAFE_FILES)
        except OSError as error:
            raise OutputError(f"cannot write {final}: {error}. Choose another folder, or free space there.") from error
        return final


def file_stem(swath: SubSwath, annotation: bytes) -> str:
    """Return the name of a measurement without its suffix, ``s1a-iw1-slc-vv-20230904t063731-...-004``."""
    start, stop = _times(swath)
    return (
        f"{swath.platform}-{swath.swath}-slc-{swath.polarisation}-{start:%Y%m%dt%H%M%S}-{stop:%Y%m%dt%H%M%S}-"
        f"{swath.absolute_orbit:06d}-{data_take(annotation):06x}-{image_number(annotation)}"
    ).lower()


def _times(swath: SubSwath) -> tuple[dt.datetime, dt.datetime]:
    origin = dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))
    start = swath.bursts[0].azimuth_time_s
    stop = swath.bursts[-1].azimuth_time_s + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s
    return origin + dt.timedelta(seconds=start), origin + dt.timedelta(seconds=stop)


def _span(images: Sequence[Image]) -> tuple[dt.datetime, dt.datetime]:
    times = [_times(image.swath) for image in images]
    return min(t[0] for t in times), max(t[1] for t in times)


def _with_slice(annotation: bytes, number: int | None) -> bytes:
    """Put the number of the slice into an annotation, if there is one."""
    return annotation if number is None else OWN_SLICE.sub(rb"\g<1>%d" % number, annotation, count=1)


def numbered_slice(manifest: bytes, images: Sequence[Image]) -> int | None:
    """Count the slice that a product is, if the data take were cut into products of as many bursts.

    The template as a whole keeps its number, products of n bursts that follow one another in it have numbers
    that do, as SNAP's SliceAssembly wants it.

    Parameters
    ----------
    manifest : bytes
        The template's, on the product's date.

    Returns
    -------
    int or None
        None if the template is no slice.
    """
    root = ElementTree.fromstring(manifest)
    text = root.findtext(".//{*}sliceNumber", "").strip()
    begin = root.findtext(".//{*}acquisitionPeriod/{*}startTime", "").strip()
    if not text or not begin:
        return None
    seconds = (_span(images)[0] - dt.datetime.fromisoformat(begin)).total_seconds()
    # sub-swaths of one burst begin up to two thirds of a cycle after one another
    before = max(int(seconds / BURST_CYCLE_S + 0.1), 0)
    return int(text) + before // len(images[0].swath.bursts)


def _manifest(
    template: bytes, images: Sequence[Image], files: Sequence[SafeFile], base: Path, days: int, number: int | None
) -> bytes:
    """Edit the template's manifest, shifted to the date: only the files there are, times, orbit, footprint, slice."""
    root = ElementTree.fromstring(template)
    start, stop = (np.datetime64(time, "us") for time in _span(images))
    root = manifest_of(
        root,
        files,
        base,
        period=(start, stop),
        swaths=[image.swath.swath for image in images],
        polarisations=[image.swath.polarisation for image in images],
        footprint=_footprint(images),
    )
    cycles = days // REPEAT_DAYS
    for entry in root.iterfind(".//{*}orbitReference/{*}orbitNumber"):
        entry.text = str(int(entry.text or 0) + cycles * ORBITS_PER_CYCLE)
    for entry in root.iterfind(".//{*}orbitReference/{*}cycleNumber"):
        entry.text = str(int(entry.text or 0) + cycles)
    for entry in root.iterfind(".//{*}missionDataTakeID"):
        entry.text = str(data_take(images[0].annotation))
    if number is not None:
        for entry in root.iterfind(".//{*}sliceNumber"):
            entry.text = str(number)
        for entry in root.iterfind(".//{*}totalSlices"):
            entry.text = str(max(int(entry.text or 0), number))
    root.insert(0, ElementTree.Comment(f" {NOTICE} ({SOFTWARE}) "))
    return to_bytes(root)


def _footprint(images: Sequence[Image]) -> list[tuple[float, float]]:
    """Return the corners as in the real manifest: last line near, last far, first far, first near."""
    nearest = min(images, key=lambda i: i.swath.slant_range_time_s).swath.geolocation
    farthest = max(images, key=lambda i: i.swath.slant_range_time_s).swath.geolocation
    corners = ((nearest, -1, 0), (farthest, -1, -1), (farthest, 0, -1), (nearest, 0, 0))
    return [(float(g.longitude_deg[i, j]), float(g.latitude_deg[i, j])) for g, i, j in corners]
