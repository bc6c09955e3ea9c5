"""Tables of scenes and bursts, made of catalogue records (CMR, UMM-G), and kept in files.

A record is taken apart here and nowhere else.  What it does not say is missing in the
table (None, NaT or NA): an unknown number never becomes 0.
"""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.errors import ShapelyError
from shapely.geometry import Polygon, shape
from shapely.geometry.base import BaseGeometry

from insar_mining.doors import parse_json
from insar_mining.errors import ArchiveError, OrbitError, OutputError, SkippedInputWarning
from insar_mining.files import appears_whole
from insar_mining.sentinel1.manifest import footprint_polygon
from insar_mining.sentinel1.orbit import without_leap_second
from insar_mining.sentinel1.record_orbits import state_vectors
from insar_mining.sentinel1.track import relative_orbit_of

RECORD_COLUMNS = (
    "scene",
    "kind",
    "platform",
    "relative_orbit",
    "absolute_orbit",
    "frame",
    "burst_id",
    "direction",
    "start",
    "stop",
    "polarisations",
    "swaths",
    "ipf_version",
    "processed",
    "bytes",
    "md5",
    "url",
    "metadata_url",
    "source_scene",
    "state_vectors",
    "geometry",
)
"""Columns of a table of search results; `select_pairs` takes it as it takes `scan_products`'."""

_TIMES = ("start", "stop", "processed")
_WHOLE_NUMBERS = ("relative_orbit", "absolute_orbit", "frame", "bytes")
_NOTHING = (None, "", "NA", "N/A", "NOT AVAILABLE")


def records_table(items: Iterable[Mapping[str, Any]]) -> gpd.GeoDataFrame:
    """Make a table of CMR records.

    Parameters
    ----------
    items : iterable of mappings
        Granules in UMM-G, each as CMR has it (``{"meta": ..., "umm": ...}``).

    Returns
    -------
    GeoDataFrame
        One row per record by time, :data:`RECORD_COLUMNS`, EPSG:4326.  Times are
        datetime64[ns] in UTC.  ``state_vectors`` is JSON text (see
        :func:`insar_mining.sentinel1.record_orbits.from_text`), missing where the record
        has none or damaged ones.  ``attrs["skipped"]`` lists records that are no
        Sentinel-1 IW SLC or cannot be read: dictionaries of scene and reason.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for item in items:
        umm = item.get("umm") or {}
        name = str(umm.get("GranuleUR", "a record without name"))
        try:
            rows.append(_row(umm, name))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            reason = str(error) if isinstance(error, _Unusable) else f"the record cannot be read ({error!r})"
            skipped.append({"scene": name, "reason": reason})
    for entry in skipped:
        warnings.warn(f"left out: {entry['scene']}: {entry['reason']}", SkippedInputWarning, stacklevel=2)
    table = _typed(rows)
    table.attrs["skipped"] = skipped
    return table


class _Unusable(ValueError):
    """A record that this package cannot use, whatever is repaired in it."""


def _row(umm: Mapping[str, Any], name: str) -> dict[str, Any]:
    said = _attributes(umm)
    burst = said.get("PROCESSING_TYPE") == "BURST" or name.endswith("-BURST")
    kind = "burst" if burst else said.get("PROCESSING_TYPE")
    if kind not in ("burst", "SLC") or said.get("BEAM_MODE", "IW") != "IW":
        raise _Unusable(f"a {said.get('BEAM_MODE')} {kind} record; coherence needs IW SLC")
    period = umm["TemporalExtent"]["RangeDateTime"]
    start = _time(said.get("AZIMUTH_TIME") if burst else period["BeginningDateTime"])
    if np.isnat(start):
        raise _Unusable(f"its start is unknown (no {'AZIMUTH_TIME' if burst else 'BeginningDateTime'})")
    scene = name if burst else name.removesuffix("-SLC")
    data, metadata = _urls(umm, burst)
    platform, track = _platform(umm), _whole(said.get("PATH_NUMBER"))
    orbit = _whole(_first(umm.get("OrbitCalculatedSpatialDomains"), "OrbitNumber"))
    if track is None:
        track = relative_orbit_of(platform, orbit)
    return {
        "scene": scene,
        "kind": "burst" if burst else "scene",
        "platform": platform,
        "relative_orbit": track,
        "absolute_orbit": orbit,
        "frame": _whole(said.get("FRAME_NUMBER")),
        "burst_id": said.get("BURST_ID_FULL"),
        "direction": (said.get("ASCENDING_DESCENDING") or "").lower() or None,
        "start": start,
        "stop": _time(period.get("EndingDateTime")),
        "polarisations": "+".join(sorted(str(said.get("POLARIZATION") or "").split("+"))),
        "swaths": said.get("SUBSWATH_NAME") if burst else "IW1+IW2+IW3",
        "ipf_version": umm.get("PGEVersionClass", {}).get("PGEVersion"),
        "processed": _time(said.get("PROCESSING_DATE")),
        "bytes": _whole(said.get("BYTE_LENGTH") if burst else said.get("BYTES")),
        "md5": _md5(said.get("MD5SUM")),
        "url": data,
        "metadata_url": metadata,
        "source_scene": _source_scene(umm) if burst else scene,
        "state_vectors": _vectors(said, scene),
        "geometry": _footprint(umm),
    }


def _attributes(umm: Mapping[str, Any]) -> dict[str, str]:
    found = {a["Name"]: a["Values"][0] for a in umm.get("AdditionalAttributes", ()) if a.get("Values")}
    return {name: value for name, value in found.items() if value not in _NOTHING}


def _first(things: Sequence[Mapping[str, Any]] | None, key: str) -> Any:
    return things[0].get(key) if things else None


def _platform(umm: Mapping[str, Any]) -> str:
    name = str(_first(umm.get("Platforms"), "ShortName"))
    match = re.fullmatch(r"SENTINEL-1([A-Z])", name.upper())
    if match is None:
        raise _Unusable(f"its platform is {name}, no Sentinel-1")
    return f"S1{match[1]}"


def _time(text: str | None) -> np.datetime64:
    if text in _NOTHING:
        return np.datetime64("NaT", "ns")
    return np.datetime64(without_leap_second(str(text).removesuffix("Z").removesuffix("+00:00")), "ns")


def _whole(value: object) -> int | None:
    return None if value in _NOTHING else int(float(str(value)))


def _md5(text: str | None) -> str | None:
    return text.lower() if text and re.fullmatch(r"[0-9a-fA-F]{32}", text) else None


def _urls(umm: Mapping[str, Any], burst: bool) -> tuple[str | None, str | None]:
    """Return the address of the data and, of a burst, of its metadata; only what https can fetch."""
    wanted = "USE SERVICE API" if burst else "GET DATA"
    found = [u["URL"] for u in umm.get("RelatedUrls", ()) if u.get("Type") == wanted and "URL" in u]
    found = [u for u in found if u.startswith("https://")]
    data = [u for u in found if u.lower().endswith((".tiff", ".tif") if burst else (".zip",))]
    metadata = [u for u in found if u.lower().endswith(".xml")]
    return next(iter(data), None), next(iter(metadata), None)


def _source_scene(umm: Mapping[str, Any]) -> str | None:
    names = umm.get("InputGranules") or ()
    return str(names[0]).removesuffix("-SLC") if names else None


def _vectors(said: Mapping[str, str], scene: str) -> str | None:
    rows = []
    for which in ("PRE", "POST"):
        position, velocity = said.get(f"SV_POSITION_{which}"), said.get(f"SV_VELOCITY_{which}")
        if position is None or velocity is None:
            return None
        *place, time = position.split(",")
        *speed, same = velocity.split(",")
        if time != same:
            return None
        rows.append([time.removesuffix("Z"), *place, *speed])
    try:
        return state_vectors(rows, source=scene).to_text()
    except OrbitError as error:
        warnings.warn(str(error), SkippedInputWarning, stacklevel=5)
        return None


def _footprint(umm: Mapping[str, Any]) -> BaseGeometry:
    outlines = umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"]
    points = outlines[0]["Boundary"]["Points"]
    found = footprint_polygon([(float(p["Longitude"]), float(p["Latitude"])) for p in points])
    return found if found.is_valid else found.buffer(0)


def _typed(rows: Sequence[Mapping[str, Any]]) -> gpd.GeoDataFrame:
    """Give every column its one type, whatever is missing, and rows their one order."""
    rows = sorted(rows, key=lambda r: (np.datetime_as_string(r["start"]), str(r["scene"])))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in RECORD_COLUMNS if name != "geometry"}
    for name in _TIMES:
        columns[name] = np.array(columns[name], dtype="datetime64[ns]")
    for name in _WHOLE_NUMBERS:
        columns[name] = pd.array(columns[name], dtype="Int64")
    for name in columns.keys() - {*_TIMES, *_WHOLE_NUMBERS}:
        columns[name] = pd.Series([None if pd.isna(v) else v for v in columns[name]], dtype=object)
    ordered = {name: columns[name] for name in RECORD_COLUMNS if name != "geometry"}
    return gpd.GeoDataFrame(ordered, geometry=[row["geometry"] for row in rows], crs="EPSG:4326")


# Files -----------------------------------------------------------------------------------------


def write_records(table: gpd.GeoDataFrame, path: Path | str) -> Path:
    """Write a table of records as GeoJSON (``.geojson``, ``.json``) or GeoParquet (``.parquet``).

    Raises
    ------
    OutputError
        Another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".geojson", ".json", ".parquet"):
        raise OutputError(f"{path}: scenes are written as .geojson or .parquet, not as {path.suffix or 'no suffix'}")
    parquet = path.suffix.lower() == ".parquet"
    if parquet and importlib.util.find_spec("pyarrow") is None:
        raise OutputError(f"{path}: Parquet needs pyarrow (pip install pyarrow); or write .geojson")
    with appears_whole(path) as partial:
        if parquet:
            plain = table.copy()
            plain.attrs = {}
            plain.to_parquet(partial, index=False)
        else:
            partial.write_text(json.dumps(as_geojson(table), ensure_ascii=False), encoding="utf-8")
    return path


def as_geojson(table: gpd.GeoDataFrame) -> dict[str, Any]:
    """Return a table of records as a GeoJSON object; times are ISO text with nanoseconds."""
    features = []
    for record, geometry in zip(
        table[list(RECORD_COLUMNS[:-1])].to_dict("records"), table.geometry.tolist(), strict=True
    ):
        properties = {str(name): _plain(value) for name, value in record.items()}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry.__geo_interface__})
    return {"type": "FeatureCollection", "features": features}


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return str(value.to_datetime64().astype("datetime64[ns]"))
    return value.item() if isinstance(value, np.generic) else value


def read_records(path: Path | str) -> gpd.GeoDataFrame:
    """Read what :func:`write_records` wrote.

    Raises
    ------
    ArchiveError
        The file cannot be read, or is no table of records.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            found = gpd.read_parquet(path)
            rows = [{**r, "geometry": g} for r, g in zip(found.to_dict("records"), found.geometry, strict=True)]
        else:
            rows = _rows_of(parse_json(path.read_bytes()))
        return _typed([_restored(row) for row in rows])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ShapelyError) as error:
        raise ArchiveError(
            f"{path}: no table of scenes ({type(error).__name__}: {error}). Make it with `insar-mining search -o`."
        ) from error


def write_pairs(pairs: gpd.GeoDataFrame, scenes: gpd.GeoDataFrame, path: Path | str) -> Path:
    """Write pairs as GeoJSON together with the records of the scenes they were made of.

    ``insar-mining fetch`` then needs no other file.  Where `scenes` are local products
    (no records) the pairs stand alone.
    """
    collection = json.loads(pairs.to_json(default=str, drop_id=True))
    if set(RECORD_COLUMNS) <= set(scenes.columns):
        collection["scenes"] = as_geojson(scenes)
    with appears_whole(path) as partial:
        partial.write_text(json.dumps(collection, ensure_ascii=False), encoding="utf-8")
    return Path(path)


def pairs_in(path: Path | str) -> set[str] | None:
    """Return the names of the images that the pairs of a file use; None if it is a table of scenes."""
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return None
    try:
        features = parse_json(path.read_bytes())["features"]
        named = [f["properties"] for f in features]
        is_pairs = bool(named) and all("reference" in p and "secondary" in p for p in named)
        return {p[which] for p in named for which in ("reference", "secondary")} if is_pairs else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path}: neither pairs nor scenes ({type(error).__name__}: {error})") from error


def _rows_of(collection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table of scenes, or of the scenes that came along with pairs."""
    features = collection.get("scenes", collection)["features"]
    with np.errstate(invalid="ignore"):  # what is no number is no geometry
        return [{**f["properties"], "geometry": shape(f["geometry"])} for f in features]


def _restored(row: Mapping[str, Any]) -> dict[str, Any]:
    restored = {name: row[name] for name in RECORD_COLUMNS}
    for name in _TIMES:
        missing = restored[name] is None or pd.isna(restored[name])
        value = None if missing or restored[name] == "NaT" else restored[name]
        restored[name] = np.datetime64(value, "ns") if isinstance(value, pd.Timestamp) else _time(value)
    for name in _WHOLE_NUMBERS:
        restored[name] = None if pd.isna(restored[name]) else int(restored[name])
    if not isinstance(restored["geometry"], BaseGeometry) or not _is_on_earth(restored["geometry"]):
        restored["geometry"] = Polygon()
    return restored


def _is_on_earth(geometry: BaseGeometry) -> bool:
    """Check whether a footprint has finite coordinates in degrees."""
    west, south, east, north = geometry.bounds or (np.nan,) * 4
    return -360 <= west <= east <= 360 and -90 <= south <= north <= 90


def without_doubles(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Keep one record of every acquisition: of the latest processor, then of the latest processing.

    The archive holds some scenes twice, processed again.  ``attrs["doubles"]`` lists
    what was left out: dictionaries of scene and reason.
    """
    best: dict[tuple[Any, ...], int] = {}
    doubles: list[dict[str, str]] = []
    rows = table.to_dict("records")
    for index in sorted(range(len(rows)), key=lambda i: _rank(rows[i]), reverse=True):
        row = rows[index]
        same = [k for k in _keys(row) if k in best]
        if same:
            used = rows[best[same[0]]]["scene"]
            doubles.append({"scene": row["scene"], "reason": f"the same acquisition as {used}, which is used"})
        else:
            best.update(dict.fromkeys(_keys(row), index))
    kept = table.iloc[sorted(set(best.values()))].reset_index(drop=True)
    kept.attrs = {**table.attrs, "doubles": sorted(doubles, key=lambda d: d["scene"])}
    return kept


def _rank(row: Mapping[str, Any]) -> tuple[tuple[int, ...], str, str]:
    version = tuple(int(part) for part in str(row["ipf_version"] or "").split(".") if part.isdigit())
    processed = "" if pd.isna(row["processed"]) else str(np.datetime64(row["processed"], "ns"))
    return version, processed, str(row["scene"])


def _keys(row: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the keys of the two nearest even seconds: acquisitions within a second share one."""
    second = int(np.datetime64(row["start"], "ns").astype("datetime64[ms]").astype(np.int64)) / 1000
    of_one = (row["platform"], row["absolute_orbit"], row["burst_id"], row["swaths"], row["polarisations"])
    return [(*of_one, int(second // 2)), (*of_one, int((second + 1) // 2), "shifted")]
