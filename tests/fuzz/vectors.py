"""Mines and options files, damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely

from insar_mining.geo.grid import MapGrid
from insar_mining.geo.mines import read_mines
from insar_mining.options.models import AnalyseOptions, RunOptions, read_options, to_yaml
from insar_mining.pipeline.inputs import check_folder, check_paths
from tests.fuzz import mutations as m
from tests.fuzz.arena import Kind, require

FORMATS = {"geojson": "GeoJSON", "gpkg": "GPKG", "kml": "KML", "fgb": "FlatGeobuf", "shp": "ESRI Shapefile"}
SIDE_FILES = (".shx", ".dbf", ".prj", ".cpg")


def make_mines(folder: Path) -> None:
    pit = shapely.Point(-8.77, 31.8).buffer(0.01, 4)
    ring = shapely.Point(-8.7, 31.8).buffer(0.012, 4) - shapely.Point(-8.7, 31.8).buffer(0.004, 4)
    parts = shapely.MultiPolygon([shapely.box(-8.6, 31.7, -8.59, 31.71), shapely.box(-8.58, 31.7, -8.57, 31.71)])
    table = gpd.GeoDataFrame(
        {"id": ["a", "b", "c"], "name": ["pit", "ring", "p\u00e4rts"], "lat": [31.8, 31.8, 31.7]},
        geometry=[pit, ring, parts],
        crs=4326,
    )
    for suffix, driver in FORMATS.items():
        (folder / suffix).mkdir()
        table.to_file(folder / suffix / f"m.{suffix}", driver=driver)
    zipped(folder / "shp", folder / "zip" / "m.zip")
    zipped(folder / "kml", folder / "kmz" / "m.kmz", "doc.kml")
    (folder / "csv").mkdir()
    rows = [f'{i},{name},"{shape.wkt}"' for i, name, shape in zip("abc", table["name"], table.geometry, strict=True)]
    (folder / "csv" / "m.csv").write_text("\n".join(["id,name,wkt", *rows]), encoding="utf-8")
    utm = table.to_crs(32629)
    (folder / "utm").mkdir()
    utm.to_file(folder / "utm" / "m.shp")


def zipped(source: Path, target: Path, name: str | None = None) -> None:
    target.parent.mkdir()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, name or path.name)


def damage_mine(name: str, data: bytes, rng: m.Rng) -> bytes:
    suffix = Path(name).suffix
    inside = m.either(m.damaged_bytes, m.damaged_text)
    damage = {
        ".geojson": m.either(m.damaged_json, m.damaged_json, m.damaged_text, m.damaged_bytes),
        ".kml": m.either(m.damaged_xml, m.damaged_text, m.damaged_bytes),
        ".csv": inside,
        ".prj": inside,
        ".cpg": inside,
        ".zip": m.damaged_member(m.damaged_bytes),
        ".kmz": m.damaged_member(m.either(m.damaged_xml, m.damaged_text)),
    }.get(suffix, m.damaged_bytes)
    return damage(data, rng)


def use_mine(folder: Path) -> Any:
    (path,) = (path for path in folder.glob("m.*") if path.suffix not in SIDE_FILES)
    mines = read_mines(path)
    require(mines, "no mine and no error")
    require(len({mine.id for mine in mines}) == len(mines), "two mines of one id")
    for mine in mines:
        west, south, east, north = mine.bounds
        require(mine.geometry.is_valid and not mine.geometry.is_empty and not mine.geometry.has_z, "geometry")
        require(-540 <= west < east <= 540 and -90 <= south < north <= 90, f"bounds {mine.bounds}")
        require(0 < mine.area_m2() < 3e10, f"area {mine.area_m2()}")
        mine._repr_html_()
    spacing = max((mines[0].bounds[2] - mines[0].bounds[0]) * 1000, 20)
    grid = MapGrid.around(mines[0].geometry, spacing).shape if abs(mines[0].geometry.centroid.y) < 80 else ()
    return [(mine.id, mine.name, mine.geometry.wkb, sorted(map(str, mine.properties))) for mine in mines], grid


def make_options(folder: Path) -> None:
    run = RunOptions(
        start="2021-01-31", end="2023-12-31", mine="mine.geojson", pairs={"exclude": ["2021-02-12"]}, dem="dem.tif"
    )
    for name, options in (("run", run), ("analyse", AnalyseOptions(folder="maps", years=(2021, 2022, 2023)))):
        (folder / name).mkdir()
        text = to_yaml(options, {"versions": {"python": "3.11"}, "years": [2021], "mine": {"id": "a"}})
        (folder / name / f"{name}.yaml").write_text(text, encoding="utf-8")
        for other in ("dem.tif", "mine.geojson"):
            (folder / name / other).write_bytes(b"")


def damage_options(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    if not name.endswith(".yaml"):
        return None
    if rng.random() < 0.75:
        return m.damaged_text(data, rng)
    lines = data.split(b"\n")
    keys = [i for i, line in enumerate(lines) if b": " in line and not line.lstrip().startswith(b"#")]
    at = keys[int(rng.integers(len(keys)))]
    key, _, _ = lines[at].partition(b": ")
    values = (b"&a [*a]", b"[[[[[[[[]]]]]]]]", b"{a: {b: c}}", b"!!python/name:os.system x", b"!!binary x", b"'", b"|")
    values += (b"[1, 2, 3]", b"[]", b"{}", b"!!set {a}", b"0o17", b"1e5", b".inf", b"- a", b"2021-01-01 10:00", b"\xff")
    value = values[int(rng.integers(len(values)))] if rng.random() < 0.5 else m.token(rng).encode()
    lines[at] = key + b": " + value
    return b"\n".join(lines)


def use_options(folder: Path) -> Any:
    (path,) = folder.glob("*.yaml")
    model = RunOptions if path.stem == "run" else AnalyseOptions
    options = read_options(path, model)
    again = folder.parent.parent / "written.yaml"
    again.write_text(to_yaml(options, {}), encoding="utf-8")
    require(read_options(again, model) == options, "options are not read back as they were written")
    for given in (options.mine, getattr(options, "folder", None)):
        if given is not None:
            check_folder(given)
    check_paths(
        options.replace(**({"dem": folder / "dem.tif"} if model is RunOptions and names_its_model(options) else {}))
    )
    return options.model_dump(mode="json")


def names_its_model(options: Any) -> bool:
    """Whether the elevation model is the one that the file named before it was damaged."""
    return str(options.dem) == "dem.tif"


MINES = Kind("mines", 4000, make_mines, damage_mine, use_mine)
OPTIONS = Kind("options", 3000, make_options, damage_options, use_options)
