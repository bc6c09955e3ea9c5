"""Which files of a folder, and which maps of a file, are the coherence that is meant."""

from __future__ import annotations

import fnmatch
import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from rasterio.errors import RasterioError

from insar_mining.activity.cube.containers import SUFFIXES, Layer, kind_of, layers_of, polarisation_of
from insar_mining.activity.cube.dates import dates_in_name, dates_of_folders
from insar_mining.activity.cube.rasters import (
    CoherenceRaster,
    NotCoherenceError,
    UnmappedError,
    Zero,
    read_header,
)
from insar_mining.doors import parse_json
from insar_mining.errors import AssumedCrsWarning, RasterError, SkippedInputWarning
from insar_mining.options.maps import MapOptions

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)

# folders that are one product, not a place for several
CLOSED_FOLDERS = (".zarr", ".safe")

# polarisations in the order in which one of several is taken
PREFERRED = ("VV", "HH", "VH", "HV")

# files named in a message, at most
NAMED = 5


def some(names: Sequence[str], separator: str = ", ") -> str:
    """Join some names, and say how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


def leave_out(path: Path | str, reason: str) -> None:
    """Warn that an input is left out."""
    warnings.warn(f"left out: {path}: {reason}", SkippedInputWarning, stacklevel=3)


def files_of(paths: PathLike | Iterable[PathLike], pattern: str | None = None) -> tuple[list[Path], Path | None]:
    """Return the files that were meant, in order of name, and the folder that they were found in.

    Raises
    ------
    RasterError
        No such file or folder, or no raster in it.
    """
    if not isinstance(paths, str | os.PathLike):
        files = sorted(Path(path) for path in paths)
        if not files:
            raise RasterError("no coherence raster was given. Name a folder of rasters or several files.")
        missing = [str(path) for path in files if not path.is_file()]
        if missing:
            raise RasterError(f"no such file: {some(missing)}")
        return files, None
    path = Path(paths)
    if path.is_file():
        return [path], None
    if not path.is_dir():
        raise RasterError(f"{path}: no such folder. Name the one that holds the coherence rasters.")
    files = [file for file in _walk(path) if _is_meant(file, path, pattern)]
    if not files:
        wanted = f"file that matches {pattern!r}" if pattern else f"raster ({', '.join(SUFFIXES)})"
        raise RasterError(f"{path}: holds no {wanted}, nor do the folders in it")
    return files, path


def _walk(root: Path) -> Iterable[Path]:
    """Yield the files of a folder and of those below, in order of name; results of this package are no inputs."""
    for folder, names, files in os.walk(root):
        place = Path(folder)
        names[:] = sorted(name for name in names if not name.startswith(".") and _is_open(place / name))
        for name in sorted(files):
            if not name.startswith("."):
                yield place / name


def _is_open(folder: Path) -> bool:
    """Check whether a folder may hold maps of its own."""
    if folder.suffix.lower() in CLOSED_FOLDERS:
        return False
    if folder.suffix.lower() == ".data" and folder.with_suffix(".dim").is_file():
        return False
    try:
        collection = parse_json((folder / "collection.json").read_bytes())
        result = str(collection["id"]).startswith("insar-mining-")
    except (OSError, ValueError, KeyError, TypeError):
        return True
    if result:
        leave_out(folder, "is a result of this package; name its folder of maps to analyse them")
    return not result


def _is_meant(file: Path, root: Path, pattern: str | None) -> bool:
    """Check whether a file is a raster that may be read."""
    if pattern is not None:
        return fnmatch.fnmatch(file.name, pattern) or fnmatch.fnmatch(file.relative_to(root).as_posix(), pattern)
    if file.suffix.lower() not in SUFFIXES:
        return False
    # ISCE writes a virtual raster beside every raw file, which is read instead
    stands_for = file.with_suffix("")
    return file.suffix.lower() != ".vrt" or not (stands_for.suffix.lower() in SUFFIXES and stands_for.is_file())


def rasters_of(files: Sequence[Path], root: Path | None, zero: Zero, reading: MapOptions) -> list[CoherenceRaster]:
    """Read the header of every map that is meant; name, in warnings, what is left out.

    Raises
    ------
    RasterError
        None has two dates, several bands could be meant, a pair is there more than once, or a raster is no map.
    """
    found: list[CoherenceRaster] = []
    skipped: list[str] = []
    unmapped: list[UnmappedError] = []
    for path in files:
        try:
            found += [read_header(layer, zero, reading.scale, root) for layer in _layers(path, root, reading)]
        except NotCoherenceError as error:
            skipped.append(str(error))
        except UnmappedError as error:
            unmapped.append(error)
        except RasterError as error:
            if kind_of(path.stem) != "other":
                raise
            skipped.append(str(error))
    mapped = {raster.pair for raster in found}
    for problem in unmapped:
        if problem.pair not in mapped:
            raise problem
        logger.info("left out, the same pair is there on a map: %s", problem)
    if not found:
        raise RasterError(f"no coherence raster with two dates among {len(files)} file(s): {some(skipped, '; ')}")
    for reason in skipped:
        warnings.warn(f"left out: {reason}", SkippedInputWarning, stacklevel=3)
    assumed = [raster.path.name for raster in found if raster.crs_assumed]
    if assumed:
        message = f"{some(assumed)}: no coordinate system is given; taken as WGS 84 longitude and latitude"
        warnings.warn(message, AssumedCrsWarning, stacklevel=3)
    return _of_one_polarisation(_called_coherence(found), reading.pol)


def _layers(path: Path, root: Path | None, reading: MapOptions) -> list[Layer]:
    """Return the maps of a file that are meant.

    Raises
    ------
    NotCoherenceError
        It cannot be opened, or holds several bands and is no coherence by its name or dates.
    RasterError
        Several bands could be meant.
    """
    try:
        layers = layers_of(path)
    except RasterioError as error:
        reason = " ".join(str(error).split())
        raise NotCoherenceError(f"{path}: not a raster that can be opened ({reason})") from error
    if reading.band is not None:
        return _asked_band(path, layers, reading.band)
    if len(layers) <= 1:
        return layers
    return _of_several(path, root, layers, reading.pol)


def _of_several(path: Path, root: Path | None, layers: list[Layer], pol: str | None) -> list[Layer]:
    """Choose among several maps: those of dates, those called coherence, those of one polarisation."""
    dated = [layer for layer in layers if layer.pair is not None]
    chosen = dated or layers
    called = [layer for layer in chosen if kind_of(layer.label) == "coherence"]
    named = {(kind_of(layer.label), polarisation_of(layer.label) is not None) for layer in chosen}
    # bands whose names hold dates or polarisation and nothing else are all of one kind
    if not called and named <= {("unknown", True)} | ({("unknown", False)} if dated else set()):
        called = chosen
    called = _one_label(_asked_polarisation(called, pol))
    pairs = [layer.pair for layer in called]
    if called and (len(called) == 1 or (None not in pairs and len(set(pairs)) == len(pairs))):
        if len(called) < len(layers):
            labels = [layer.label or f"band {layer.band}" for layer in layers if layer not in called]
            logger.info("%s: %d of %d bands are read; not %s", path, len(called), len(layers), some(labels))
        return called
    if kind_of(path.stem) == "other" or not (dated or _has_dates(path, root)):
        raise NotCoherenceError(f"{path}: holds {len(layers)} bands ({_listed(layers)}), none of them called coherence")
    raise RasterError(
        f"{path}: holds {len(layers)} bands ({_listed(layers)}), and none is marked as coherence. Choose with "
        "--band (a number or a name) or --pol"
    )


def _has_dates(path: Path, root: Path | None) -> bool:
    """Check whether a file's name or folder has the dates of a pair."""
    try:
        return dates_in_name(path.stem) is not None or dates_of_folders(path, root) is not None
    except RasterError:
        return True


def _one_label(layers: list[Layer]) -> list[Layer]:
    """Keep, of maps without dates, those called just coherence, as this package calls them; else all."""
    exact = [layer for layer in layers if layer.label.lower() == "coherence" and layer.pair is None]
    return exact if len(exact) == 1 else layers


def _asked_polarisation(layers: list[Layer], pol: str | None) -> list[Layer]:
    """Return the maps of the polarisation that is asked for, else of the preferred one of several."""
    known = {polarisation_of(layer.label) for layer in layers}
    wanted = pol if pol is not None else next((one for one in PREFERRED if one in known), None)
    if wanted is None or known == {None}:
        return layers
    return [layer for layer in layers if polarisation_of(layer.label) in (wanted, None)]


def _asked_band(path: Path, layers: list[Layer], band: int | str) -> list[Layer]:
    """Return the band of a number, or the bands of a name.

    Raises
    ------
    RasterError
        There is none.
    """
    if isinstance(band, int):
        chosen = [layer for layer in layers if layer.band == band] if len(layers) > 1 else layers
        if len(layers) == 1 and band != 1:
            chosen = []
    else:
        chosen = [layer for layer in layers if layer.label.lower() == band.lower()]
        chosen = chosen or [layer for layer in layers if band.lower() in layer.label.lower()]
    if not chosen:
        raise RasterError(
            f"{path}: has {len(layers)} band(s), not a band {band}: {_listed(layers)}. Choose another (--band, band=)."
        )
    return chosen


def _listed(layers: Sequence[Layer]) -> str:
    """Return numbers and names of bands."""
    return some([f"{layer.band} {layer.label}".strip() for layer in layers])


def _called_coherence(rasters: list[CoherenceRaster]) -> list[CoherenceRaster]:
    """Leave out what is called something else, once anything is called coherence."""
    called = [raster for raster in rasters if raster.kind == "coherence"]
    if not called:
        return rasters
    homes = {(raster.pair, raster.path.parent) for raster in called}
    pairs = {raster.pair for raster in called}
    kept: list[CoherenceRaster] = []
    others: list[CoherenceRaster] = []
    for raster in rasters:
        named_beside = raster.kind == "unknown" and (raster.pair, raster.path.parent) in homes
        (others if raster.kind == "other" or named_beside else kept).append(raster)
    for raster in others:
        if raster.pair not in pairs:
            leave_out(raster.path, "is not called coherence as the others are; --pattern chooses files")
    if others:
        logger.info("%d other maps lie beside the coherence: %s", len(others), some([r.path.name for r in others]))
    return kept


def _of_one_polarisation(rasters: list[CoherenceRaster], pol: str | None) -> list[CoherenceRaster]:
    """Keep one polarisation, and name the pairs that have only another.

    Raises
    ------
    RasterError
        None has the polarisation that is asked for.
    """
    known = {raster.polarisation for raster in rasters} - {None}
    wanted = pol or next((one for one in PREFERRED if one in known), None)
    if wanted is None or not known or known == {wanted}:
        return rasters
    kept = [raster for raster in rasters if raster.polarisation in (wanted, None)]
    if not kept:
        raise RasterError(
            f"no map of polarisation {wanted}; there are maps of {', '.join(sorted(map(str, known)))} (--pol)"
        )
    logger.info("polarisation %s is read of %s", wanted, ", ".join(sorted(map(str, known))))
    pairs = {raster.pair for raster in kept}
    for raster in rasters:
        if raster not in kept and raster.pair not in pairs:
            leave_out(raster.path, f"has polarisation {raster.polarisation}, the others {wanted}; --pol chooses")
    return kept
