"""Mines from every format and CRS, and everything that can be wrong with them."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from insar_mining.errors import (
    AssumedCrsWarning,
    MineError,
    RepairedGeometryWarning,
    SkippedInputWarning,
    strict,
)
from insar_mining.geo.cells import with_margin
from insar_mining.geo.grid import MapGrid
from insar_mining.geo.mines import Mine, mine_from_geometry, read_mines
from insar_mining.geo.polygons import within_180

DATA = Path(__file__).parents[2] / "data" / "mines"
EXCERPT = DATA / "mining_tiles_excerpt.gpkg"

PIT = shapely.box(-8.80, 31.78, -8.75, 31.82)
BOW_TIE = Polygon([(0, 0), (0.02, 0.02), (0.02, 0), (0, 0.02)])


# -- writers that share nothing with the reader where that can be had ---------------------


def write_geojson(path: Path, shapes: list[BaseGeometry | None], **columns: list[object]) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": {name: values[i] for name, values in columns.items()},
            "geometry": None if shape is None else shapely.geometry.mapping(shape),
        }
        for i, shape in enumerate(shapes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def write_kml(path: Path, shapes: list[Polygon | MultiPolygon], name: str = "pit") -> Path:
    def ring(tag: str, coordinates: list[tuple[float, float]]) -> str:
        text = " ".join(f"{x!r},{y!r},0" for x, y in coordinates)
        return f"<{tag}><LinearRing><coordinates>{text}</coordinates></LinearRing></{tag}>"

    def polygon(shape: Polygon) -> str:
        holes = "".join(ring("innerBoundaryIs", list(h.coords)) for h in shape.interiors)
        return f"<Polygon>{ring('outerBoundaryIs', list(shape.exterior.coords))}{holes}</Polygon>"

    def placemark(shape: Polygon | MultiPolygon) -> str:
        parts = "".join(polygon(p) for p in shapely.get_parts(shape))
        return f"<Placemark><name>{name}</name><MultiGeometry>{parts}</MultiGeometry></Placemark>"

    marks = "".join(placemark(s) for s in shapes)
    document = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{marks}</Document></kml>'
    path.write_text('<?xml version="1.0" encoding="UTF-8"?>' + document, encoding="utf-8")
    return path


def write_gdal(path: Path, shapes: list[BaseGeometry], epsg: int | None, **columns: list[object]) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs=4326 if epsg else None)
    if epsg not in (None, 4326):
        frame = frame.to_crs(epsg)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        frame.to_file(path)
    return path


def write_zip(path: Path, shapes: list[BaseGeometry], epsg: int | None, member: str = "Gruben/Tagebau Süd") -> Path:
    folder = path.parent / f"{path.stem}.parts"
    folder.mkdir()
    write_gdal(folder / "layer.shp", shapes, epsg)
    with zipfile.ZipFile(path, "w") as archive:
        for part in folder.iterdir():
            archive.write(part, f"{member}{part.suffix}")
            archive.writestr(f"__MACOSX/._x{part.suffix}", b"finder's junk")
    shutil.rmtree(folder)
    return path


def write_csv(path: Path, geometry: list[str], separator: str = ",") -> Path:
    rows = [f'{i}{separator}"{g}"' for i, g in enumerate(geometry)]
    path.write_text("\n".join([f"number{separator}WKT", *rows]) + "\n", encoding="utf-8")
    return path


Writer = Callable[[Path, BaseGeometry, int], Path]
LONLAT_WRITERS: dict[str, Writer] = {
    "geojson": lambda p, s, _: write_geojson(p / "a.geojson", [s]),
    "kml": lambda p, s, _: write_kml(p / "a.kml", [s]),
    "csv wkt": lambda p, s, _: write_csv(p / "a.csv", [shapely.to_wkt(s, rounding_precision=-1)]),
    "csv wkb, semicolons": lambda p, s, _: write_csv(p / "a.csv", [s.wkb_hex], ";"),
}
ANY_CRS_WRITERS: dict[str, Writer] = {
    "shapefile": lambda p, s, epsg: write_gdal(p / "a.shp", [s], epsg),
    "zipped shapefile": lambda p, s, epsg: write_zip(p / "a.zip", [s], epsg),
    "geopackage": lambda p, s, epsg: write_gdal(p / "a.gpkg", [s], epsg),
    "flatgeobuf": lambda p, s, epsg: write_gdal(p / "a.fgb", [s], epsg),
    "csv ewkb": lambda p, s, epsg: write_csv(p / "a.csv", [ewkb(s, epsg)]),
}


def ewkb(shape: BaseGeometry, epsg: int) -> str:
    projected = gpd.GeoSeries([shape], crs=4326).to_crs(epsg).iloc[0]
    return str(shapely.to_wkb(shapely.set_srid(projected, epsg), hex=True, include_srid=True))


@st.composite
def outlines(draw: st.DrawFn) -> Polygon | MultiPolygon:
    """Star-shaped polygons of 1 to 60 km, some with a hole, some with a second part."""
    lon, lat = draw(st.floats(-170, 170)), draw(st.floats(-75, 75))
    radius = draw(st.floats(0.005, 0.3))
    count = draw(st.integers(3, 20))
    radii = radius * np.array(draw(st.lists(st.floats(0.5, 1), min_size=count, max_size=count)))
    angle = np.arange(count) * 2 * np.pi / count + draw(st.floats(0, 2))
    shell = np.column_stack([lon + radii * np.cos(angle), lat + radii * np.sin(angle)])
    # the circle of half the least radius times cos(pi/n) lies inside of any such star
    hole = (shell - (lon, lat)) * 0.1 + (lon, lat)
    polygon = Polygon(shell, [hole] if draw(st.booleans()) else [])
    if draw(st.booleans()):
        return MultiPolygon([polygon, shapely.transform(Polygon(shell), lambda xy: np.add(xy, (3 * radius, 0)))])
    return polygon


def utm(shape: BaseGeometry) -> int:
    centre = shape.centroid
    return (32600 if centre.y >= 0 else 32700) + int((centre.x + 180) // 6) + 1


FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("form", LONLAT_WRITERS)
@FEW
@given(shape=outlines())
def test_formats_in_degrees_keep_every_digit(
    form: str, shape: BaseGeometry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (mine,) = read_mines(LONLAT_WRITERS[form](tmp_path_factory.mktemp("mine"), shape, 4326))
    assert shapely.hausdorff_distance(mine.geometry, shape) < 1e-12  # GEOS writes WKT with 16 digits
    assert mine.area_m2() == pytest.approx(mine_from_geometry(shape).area_m2(), rel=1e-9)


@pytest.mark.parametrize("crs", ["4326", "utm", "3857", "6933", "4258"])
@pytest.mark.parametrize("form", ANY_CRS_WRITERS)
@settings(FEW, max_examples=4)
@given(shape=outlines())
def test_any_crs_comes_back_as_the_same_degrees(
    form: str, crs: str, shape: BaseGeometry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    epsg = utm(shape) if crs == "utm" else int(crs)
    (mine,) = read_mines(ANY_CRS_WRITERS[form](tmp_path_factory.mktemp("mine"), shape, epsg))
    assert mine.area_m2() == pytest.approx(mine_from_geometry(shape).area_m2(), rel=1e-6)
    assert shapely.hausdorff_distance(mine.geometry, shape) < 1e-7  # a centimetre
    assert shapely.is_valid(mine.geometry)


@FEW
@given(shape=outlines(), turns=st.sampled_from([-360.0, 360.0]))
def test_longitudes_of_another_turn_come_back_with_a_warning(shape: BaseGeometry, turns: float) -> None:
    moved = shapely.transform(shape, lambda xy: np.add(xy, (turns, 0)))
    if abs(moved.bounds[0]) > 360 or abs(moved.bounds[2]) > 360:
        return  # a western place turned west: no convention writes that
    with pytest.warns(RepairedGeometryWarning, match="brought to -180..180"):
        mine = mine_from_geometry(moved)
    assert shapely.hausdorff_distance(mine.geometry, shape) < 1e-9


# -- areas -----------------------------------------------------------------------------


def test_area_of_an_octant_is_an_eighth_of_the_ellipsoid() -> None:
    """510,065,621.724 km2 is the area of WGS 84; an octant's edges are geodesics."""
    octant = mine_from_geometry(Polygon([(0, 0), (90, 0), (0, 90)]))
    assert octant.area_m2() == pytest.approx(510_065_621_724_088 / 8, rel=1e-9)


def test_areas_of_real_mines_agree_with_an_equal_area_projection() -> None:
    to_equal_area = Transformer.from_crs(4326, 6933, always_xy=True)
    for mine in read_mines(EXCERPT, layer="polygons_annotated"):
        dense = shapely.segmentize(mine.geometry, 1e-3)
        plane = shapely.transform(dense, lambda xy: np.column_stack(to_equal_area.transform(xy[:, 0], xy[:, 1])))
        # an edge of 5 km is a geodesic here and straight in degrees there: 0.2 m apart in its middle
        assert mine.area_m2() == pytest.approx(plane.area, rel=5e-5)


def test_a_hole_is_not_area_and_the_order_of_points_does_not_matter() -> None:
    hole = shapely.box(-8.78, 31.79, -8.77, 31.80)
    ring = mine_from_geometry(PIT.difference(hole)).area_m2()
    assert ring == pytest.approx(mine_from_geometry(PIT).area_m2() - mine_from_geometry(hole).area_m2(), rel=1e-12)
    assert mine_from_geometry(PIT.reverse()).area_m2() == mine_from_geometry(PIT).area_m2()


# -- real portfolios ---------------------------------------------------------------------


def test_real_geopackage_gives_its_polygons_with_attributes() -> None:
    mines = read_mines(EXCERPT, layer="polygons_annotated")
    assert [m.id for m in mines] == ["2918", "1248", "1294", "339", "180"]
    by_id = {m.id: m for m in mines}
    assert len(by_id["1294"].geometry.geoms) == 5
    assert sum(len(p.interiors) for p in by_id["339"].geometry.geoms) == 1
    assert [m.utm_epsg for m in mines] == [32755, 32735, 32735, 32617, 32612]
    tiles = {m.id: m for m in read_mines(EXCERPT, layer="tiles")}
    assert tiles["180"].properties["minetype1"] in ("Surface", "Placer", "Underground", "Brine & Evaporation Pond")
    assert set(tiles["180"].properties) >= {"tile_id", "s2_tile_id", "minetype2", "timestamp"}
    for id, mine in by_id.items():
        assert shapely.intersects(mine.geometry, tiles[id].geometry)


def test_several_layers_are_a_question_and_never_a_guess() -> None:
    with pytest.raises(MineError, match=r"3 layers.*layer=.*tiles, polygons_original, polygons_annotated"):
        read_mines(EXCERPT)
    with pytest.raises(MineError, match="no layer 'pits'; it has tiles"):
        read_mines(EXCERPT, layer="pits")
    in_path = read_mines(f"{EXCERPT}|layername=polygons_original")
    assert [m.id for m in in_path] == [m.id for m in read_mines(EXCERPT, layer="polygons_original")]


def test_folders_of_a_kml_are_one_portfolio(tmp_path: Path) -> None:
    text = write_kml(tmp_path / "a.kml", [PIT], name="Mina Ñ").read_text(encoding="utf-8")
    mark = text[text.index("<Placemark>") : text.index("</Document>")]
    extra = "<ExtendedData><Data name='code'><value>7</value></Data></ExtendedData>"
    second = mark.replace("Mina Ñ", "Две").replace(
        "<MultiGeometry>", extra + "<MultiGeometry><Point><coordinates>-8.78,31.8</coordinates></Point>"
    )
    folders = "".join(f"<Folder><name>{n}</name>{m}</Folder>" for n, m in (("a", mark), ("b", second)))
    (tmp_path / "b.kml").write_text(text.replace(mark, folders), encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "b.kmz", "w") as archive:
        archive.write(tmp_path / "b.kml", "doc.kml")
    for name in ("b.kml", "b.kmz"):
        with pytest.warns(RepairedGeometryWarning, match=r"feature 2 .*1 of 2 parts are no polygons"):
            mines = read_mines(tmp_path / name)
        assert [m.name for m in mines] == ["Mina Ñ", "Две"]
        assert [m.id for m in mines] == ["b-1", "b-2"]
        assert mines[1].properties["code"] == "7"


@pytest.mark.slow
def test_a_global_footprint_is_read_in_seconds(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    count = 45_000
    centres = shapely.points(generator.uniform(-170, 170, count), generator.uniform(-60, 70, count))
    shapes = list(shapely.buffer(centres, 0.01, quad_segs=12))
    path = write_gdal(tmp_path / "global.gpkg", shapes, 4326, ISO3_CODE=["CHL"] * count, AREA=list(range(count)))
    start = time.process_time()
    mines = read_mines(path)
    assert time.process_time() - start < 20  # processor time, as other work may share the cores; 2 s are usual
    assert len(mines) == count
    assert mines[-1].properties == {"ISO3_CODE": "CHL", "AREA": count - 1}


# -- ids, names, attributes -----------------------------------------------------------------


def test_ids_are_unique_and_the_same_every_time(tmp_path: Path) -> None:
    ids = ["a", "a", "a-2", "", None, "a"]
    path = write_geojson(tmp_path / "m.geojson", [PIT] * 6, id=ids)
    first = [m.id for m in read_mines(path)]
    assert first == ["a", "a-3", "a-2", "m-4", "m-5", "a-4"]
    assert first == [m.id for m in read_mines(path)]


def test_id_and_name_come_from_the_attributes_asked_for(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "m.geojson", [PIT, PIT], Name=["x", "y"], code=[7, None], label=["Ω", ""])
    assert [(m.id, m.name) for m in read_mines(path)] == [("m-1", "x"), ("m-2", "y")]
    asked = read_mines(path, id_field="code", name_field="label")
    assert [(m.id, m.name) for m in asked] == [("7", "Ω"), ("m-2", "m-2")]
    assert asked[1].properties["code"] is None
    with pytest.raises(MineError, match="no attribute 'kode'; it has Name, code, label"):
        read_mines(path, id_field="kode")


def test_a_single_mine_is_called_after_its_file(tmp_path: Path) -> None:
    (mine,) = read_mines(write_geojson(tmp_path / "sishen.geojson", [PIT]))
    assert (mine.id, mine.name) == ("sishen", "sishen")


@pytest.mark.parametrize("suffix", ["shp", "gpkg", "geojson", "kml", "csv", "zip"])
def test_odd_paths_and_letters_of_the_world(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "Tagebau (Süd) [alt] #1 ! 100%"
    folder.mkdir()
    path = folder / f"矿山 ñ*.{suffix}"
    if suffix == "csv":
        path.write_text(f'name;polygon\nŁąka 矿;"{PIT.wkt}"\n', encoding="utf-8-sig")
    elif suffix == "kml":
        write_kml(path, [PIT], name="Łąka 矿")
    elif suffix == "geojson":
        write_geojson(path, [PIT], name=["Łąka 矿"])
    else:
        plain = tmp_path / "plain"
        plain.mkdir()
        write_gdal(plain / ("p.gpkg" if suffix == "gpkg" else "p.shp"), [PIT], 4326, name=["Łąka 矿"])
        if suffix == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for part in plain.iterdir():
                    archive.write(part, f"Łąka 矿{part.suffix}")
        else:
            for part in plain.iterdir():
                shutil.copy(part, path.with_suffix(part.suffix))
    (mine,) = read_mines(path)
    assert mine.name == "Łąka 矿"
    assert mine.area_m2() == pytest.approx(mine_from_geometry(PIT).area_m2(), rel=1e-9)


def test_mines_can_be_hashed_compared_and_sent_to_other_processes() -> None:
    mine = mine_from_geometry(PIT, id="pit", properties={"ore": "iron"})
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert len({mine, mine_from_geometry(PIT, id="pit", properties={"ore": "iron"})}) == 1


# -- what is mended, with a warning ------------------------------------------------------------


def test_a_bow_tie_becomes_its_two_triangles() -> None:
    with pytest.warns(RepairedGeometryWarning, match=r"mine 'pit'.*Self-intersection"):
        mine = mine_from_geometry(BOW_TIE, id="pit")
    whole = mine_from_geometry(shapely.box(0, 0, 0.02, 0.02)).area_m2()
    assert mine.area_m2() == pytest.approx(whole / 2, rel=1e-6)


def test_overlapping_parts_count_once() -> None:
    overlapping = MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])
    with pytest.warns(RepairedGeometryWarning):
        mine = mine_from_geometry(overlapping)
    assert mine.geometry.area == pytest.approx(7)


def test_rings_that_are_not_closed_are_closed(tmp_path: Path) -> None:
    open_ring = "POLYGON ((0 0, 0.1 0, 0.1 0.1))"
    with pytest.warns(RepairedGeometryWarning, match="feature 1.*ring was not closed"):
        (mine,) = read_mines(write_csv(tmp_path / "a.csv", [open_ring]))
    assert mine.geometry.area == pytest.approx(0.005)
    text = write_geojson(tmp_path / "a.geojson", [Polygon([(0, 0), (0.1, 0), (0.1, 0.1)])]).read_text()
    closed = json.loads(text)
    closed["features"][0]["geometry"]["coordinates"][0].pop()
    (tmp_path / "b.geojson").write_text(json.dumps(closed))
    with pytest.warns(RepairedGeometryWarning, match="ring was not closed"):
        (mine,) = read_mines(tmp_path / "b.geojson")
    assert mine.geometry.area == pytest.approx(0.005)


def test_heights_are_dropped_without_a_word(tmp_path: Path) -> None:
    (mine,) = read_mines(write_csv(tmp_path / "a.csv", [shapely.force_3d(PIT, 800.0).wkt]))
    assert not mine.geometry.has_z
    (mine,) = read_mines(write_gdal(tmp_path / "a.gpkg", [shapely.force_3d(PIT, 800.0)], 32629))
    assert not mine.geometry.has_z


def test_a_shapefile_without_prj_in_degrees_is_taken_as_wgs84(tmp_path: Path) -> None:
    with pytest.warns(AssumedCrsWarning, match=r"no CRS.*\.prj"):
        (mine,) = read_mines(write_gdal(tmp_path / "a.shp", [PIT], None))
    assert shapely.equals(mine.geometry, PIT)


def test_one_bad_feature_of_many_is_skipped_and_named(tmp_path: Path) -> None:
    bad = [None, Polygon(), BOW_TIE.boundary, shapely.box(31.78, 118.75, 31.82, 118.80)]
    path = write_geojson(tmp_path / "m.geojson", [PIT, *bad, PIT], id=list("abcdef"))
    with pytest.warns(
        SkippedInputWarning, match=r"4 of 6.*feature 2 \(id 'b'\).*empty.*feature 4 \(id 'd'\).*not a polygon.*swapped"
    ):
        mines = read_mines(path)
    assert [m.id for m in mines] == ["a", "f"]
    with strict(), pytest.raises(SkippedInputWarning):
        read_mines(path)


def test_when_no_feature_is_usable_it_is_an_error(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "m.geojson", [None, shapely.Point(1, 2)])
    with pytest.raises(MineError, match=r"none of its features is usable.*feature 1.*empty.*feature 2.*Point"):
        read_mines(path)


# -- swapped axes ------------------------------------------------------------------------------


def test_one_swapped_polygon_of_many_does_not_spoil_the_others(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "m.geojson", [PIT] * 8 + [shapely.box(31.78, 118.75, 31.82, 118.80)])
    with pytest.warns(SkippedInputWarning, match="latitude of 118.8 degrees.*swapped"):
        assert len(read_mines(path)) == 8


def test_a_file_whose_writer_swapped_is_refused_even_where_it_cannot_be_seen(tmp_path: Path) -> None:
    places = [(-28.0, 120.0), (-22.0, 118.0), (-28.0, 23.0), (31.8, -8.8)]  # latitude first: two give it away
    shapes = [shapely.box(x, y, x + 0.05, y + 0.05) for x, y in places]
    with pytest.raises(MineError, match=r"in 2 of 4 features.*swapped.*whole file"):
        read_mines(write_geojson(tmp_path / "m.geojson", shapes))
    contrary = [*shapes, shapely.box(-110, -30, -109.9, -29.9)]  # no latitude is -110: this one is right
    with pytest.warns(SkippedInputWarning, match="2 of 5"):
        assert len(read_mines(write_geojson(tmp_path / "n.geojson", contrary))) == 3


def test_attributes_give_a_swapped_polygon_away(tmp_path: Path) -> None:
    swapped = shapely.box(31.78, -8.80, 31.82, -8.75)
    right = write_geojson(tmp_path / "a.geojson", [PIT], Latitude=[31.8], LON=["-8.78"])
    assert len(read_mines(right)) == 1
    wrong = write_geojson(tmp_path / "b.geojson", [swapped], Latitude=[31.8], LON=["-8.78"])
    with pytest.raises(MineError, match=r"attributes say longitude -8\.780, latitude 31\.800.*swapped"):
        read_mines(wrong)
    elsewhere = write_geojson(tmp_path / "c.geojson", [swapped], Latitude=[50.0], LON=[10.0])
    assert len(read_mines(elsewhere)) == 1  # a contradiction, but not of axes


# -- what cannot be used --------------------------------------------------------------------------


def triangle(x: float) -> BaseGeometry:
    with np.errstate(invalid="ignore"):
        return shapely.from_wkt(f"POLYGON ((0 0, 1 0, {x} 1, 0 0))")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Polygon(), "empty geometry"),
        (shapely.Point(1, 2), "Point, not a polygon"),
        (shapely.LineString([(0, 0), (1, 1), (1, 0), (0, 0)]), "LineString, not a polygon"),
        (shapely.GeometryCollection([shapely.Point(0, 0)]), "GeometryCollection, not a polygon"),
        (Polygon([(0, 0), (1, 1), (2, 2)]), "zero area"),
        (Polygon([(1, 1), (1, 1), (1, 1)]), "zero area"),
        (shapely.box(0, 0, 1e-7, 1e-7), "zero area.*limit 1 m2"),
        (shapely.box(31.78, 118.75, 31.82, 118.80), "latitude of 118.8 degrees .limit 90.*swapped.*longitude first"),
        (shapely.box(31.78, -118.80, 31.82, -118.75), "latitude of -118.8 degrees .limit 90.*swapped"),
        (shapely.box(500_000, 3_500_000, 501_000, 3_501_000), "are not degrees; state the true CRS"),
        (shapely.box(-179.9, -17, 179.9, -16.9), "-179.9 to 179.9.*antimeridian.*180 degrees"),
        (triangle(math.inf), "not a finite number"),
        (triangle(math.nan), "not a finite number"),
    ],
)
def test_unusable_geometry_is_named_with_its_remedy(shape: BaseGeometry, message: str) -> None:
    with pytest.raises(MineError, match=f"mine 'pit': .*{message}"):
        mine_from_geometry(shape, id="pit")


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.gpkg", lambda p: None, "there is no such file"),
        ("a.geojson", text(""), r"empty \(0 bytes\)"),
        ("a.geojson", text('{"type": "FeatureCollection", "features": []}'), "no feature"),
        ("a.geojson", text('{"type": "FeatureCollection", "features": ['), "cannot be read as a vector file"),
        ("a.shp", text("a mine in the south\n" * 50), "cannot be read as a vector file"),
        ("a.gpkg", text("a mine in the south"), "cannot be read as a vector file"),
        ("a.zip", text("a mine in the south"), "not a whole zip archive"),
        ("a.xyz", text("1 2 3"), "cannot be read as a vector file"),
        ("a.csv", text("name,x,y\npit,1,2\n"), "no column holds polygons as WKT.*name, x, y"),
        ("a.csv", text("name,wkt\n"), "no feature, only the columns name, wkt"),
        ("a.csv", text("name,wkt\npit,POLYGON ((0 0, 1 0, 1 1, 0 0))\n"), "cannot be read as a table"),
        ("a.csv", text('wkt\n"POLYGON ((0 0, 1 0"\n'), "cannot be decoded"),
        ("a.csv", text('wkt\n"POLYGON ((0 0, 1 0, nan 1, 0 0))"\n'), "not a finite number"),
        ("a.csv", text('wkt\n"SRID=4326;POINT (1 2)"\n'), "Point, not a polygon"),
        ("a.csv", text('wkt\n"SRID=1;POLYGON ((0 0, 1 0, 1 1, 0 0))"\n'), "SRID is not an EPSG code"),
        ("a.csv", lambda p: p.write_bytes("name,wkt\nMiña,x\n".encode("latin-1")), "not UTF-8.*CSV UTF-8"),
        ("folder", lambda p: p.mkdir(), "is a folder; it holds no vector file"),
    ],
)
def test_unusable_files_are_named_with_their_remedy(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(MineError, match=message) as caught:
        read_mines(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_srids_in_one_table_are_refused(tmp_path: Path) -> None:
    both = [f"SRID={srid};{PIT.wkt}" for srid in (4326, 4258)]
    with pytest.raises(MineError, match=r"SRIDs \[4258, 4326\]"):
        read_mines(write_csv(tmp_path / "a.csv", both))


def test_a_folder_lists_the_files_to_choose_from(tmp_path: Path) -> None:
    write_geojson(tmp_path / "b.geojson", [PIT])
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(MineError, match=r"give one of its files: b\.geojson$"):
        read_mines(tmp_path)


def test_a_shapefile_in_metres_without_prj_is_refused(tmp_path: Path) -> None:
    write_gdal(tmp_path / "a.shp", [PIT], 32629)
    (tmp_path / "a.prj").unlink()
    with pytest.raises(MineError, match=r"no CRS.*not degrees.*\.prj"):
        read_mines(tmp_path / "a.shp")


def test_a_shapefile_without_its_index_says_what_is_missing(tmp_path: Path) -> None:
    write_gdal(tmp_path / "a.shp", [PIT], 4326)
    (tmp_path / "a.shx").unlink()
    with pytest.raises(MineError, match=r"put the \.shx and \.dbf"):
        read_mines(tmp_path / "a.shp")


def test_a_zip_of_several_files_asks_which(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first = write_zip(tmp_path / "one" / "a.zip", [PIT], 4326, member="pits")
    second = write_zip(tmp_path / "a.zip", [shapely.box(0, 0, 1, 1)], 4326, member="dumps")
    with zipfile.ZipFile(first) as source, zipfile.ZipFile(second, "a") as target:
        for name in source.namelist():
            if not name.startswith("__MACOSX"):
                target.writestr(name, source.read(name))
    with pytest.raises(MineError, match=r"holds 2 files.*dumps, pits"):
        read_mines(second)
    (mine,) = read_mines(second, layer="pits")
    assert shapely.equals(mine.geometry, PIT)


def test_half_a_zip_and_a_zip_of_something_else_are_named(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "a.zip", [PIT], 4326).read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MineError, match=r"half\.zip.*not a whole zip"):
        read_mines(tmp_path / "half.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.md", "no mine here")
    with pytest.raises(MineError, match="holds no vector file"):
        read_mines(tmp_path / "b.zip")


def test_coordinates_outside_of_their_crs_are_named(tmp_path: Path) -> None:
    far = shapely.box(1e12, 1e12, 1e12 + 1e3, 1e12 + 1e3)
    with pytest.raises(MineError, match=r"lie outside of 'WGS 84 / UTM zone 29N'"):
        mine_from_geometry(far, crs=32629)


# -- mines of notebook users -------------------------------------------------------------------------


def test_a_box_is_west_south_east_north() -> None:
    mine = mine_from_geometry((-8.80, 31.78, -8.75, 31.82), id="pit", name="Pit")
    assert shapely.equals(mine.geometry, PIT)
    assert mine.bounds == (-8.80, 31.78, -8.75, 31.82)
    assert (mine.id, mine.name) == ("pit", "Pit")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((1, 2, 3), "neither a shapely geometry nor"),
        ("pit.shp", "neither a shapely geometry nor"),
        ((10, 0, -10, 1), "west must be below east.*antimeridian"),
        ((0, 1, 1, 0), "south below north"),
        ((math.nan, 0, 1, 1), "is empty"),
    ],
)
def test_boxes_that_are_none(bounds: object, message: str) -> None:
    with pytest.raises(MineError, match=message):
        mine_from_geometry(bounds)  # type: ignore[arg-type]


def test_a_geometry_of_another_crs_is_brought_to_degrees_and_left_alone() -> None:
    projected = gpd.GeoSeries([PIT], crs=4326).to_crs(32629).iloc[0]
    before = projected.wkt
    mine = mine_from_geometry(projected, crs="EPSG:32629")
    assert shapely.hausdorff_distance(mine.geometry, PIT) < 1e-9
    assert projected.wkt == before
    with pytest.raises(MineError, match="crs='UTM29' is not understood"):
        mine_from_geometry(PIT, crs="UTM29")


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (-8.78, 31.8, 32629),
        (22.99, -27.74, 32734),
        (179.9, 0.5, 32660),
        (-179.9, -0.5, 32701),
        (0.01, 83.9, 32631),
        (0.01, -79.9, 32731),
    ],
)
def test_utm_zone_of_the_centroid(lon: float, lat: float, epsg: int) -> None:
    assert mine_from_geometry((lon - 0.005, lat - 0.005, lon + 0.005, lat + 0.005)).utm_epsg == epsg


@pytest.mark.parametrize("lat", [84.1, -80.1])
def test_utm_ends_near_the_poles(lat: float) -> None:
    mine = mine_from_geometry((10, lat - 0.01, 10.1, lat + 0.01), id="svalbard")
    with pytest.raises(MineError, match=r"'svalbard'.*latitude.*UTM goes from -80 to 84.*projected CRS"):
        _ = mine.utm_epsg


def test_a_mine_is_frozen() -> None:
    mine = Mine("a", "a", PIT)
    with pytest.raises(AttributeError):
        mine.id = "b"  # type: ignore[misc]


SPLIT = shapely.MultiPolygon([shapely.box(179.99, 66.0, 180, 66.01), shapely.box(-180, 66.0, -179.98, 66.01)])


@pytest.mark.parametrize(
    "shape",
    [SPLIT, shapely.MultiPolygon(list(SPLIT.geoms)[::-1]), shapely.box(179.99, 66, 180.02, 66.01),
     shapely.box(-180.01, 66, -179.98, 66.01)],
    ids=["cut as RFC 7946", "cut, the western part first", "beyond 180", "beyond -180"],
)  # fmt: skip
def test_a_mine_across_the_antimeridian_is_one_mine(shape: BaseGeometry, tmp_path: Path) -> None:
    """One polygon, grid and area, however it is written."""
    path = tmp_path / "mine.geojson"
    feature = {"type": "Feature", "properties": {"name": "pit"}, "geometry": shapely.geometry.mapping(shape)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    for mine in (*read_mines(path), mine_from_geometry(shape)):
        np.testing.assert_allclose(mine.bounds, (179.99, 66.0, 180.02, 66.01))
        assert mine.geometry.geom_type == "Polygon"
        # 0.03 degrees at 66 N: 1.36 km; 0.01 degrees along the meridian: 1.11 km
        assert mine.area_m2() == pytest.approx(1.5168e6, rel=2e-3)
        assert mine.utm_epsg == 32601
        grid = MapGrid.around(mine.geometry, 20.0)
        assert 1360 <= grid.width * 20 <= 1480
        grown = with_margin(mine, 300.0).bounds
        assert grown[2] - grown[0] == pytest.approx(0.03 + 2 * 300 / (111_320 * np.cos(np.radians(66))), rel=0.03)
        both = within_180(mine.geometry)
        assert both.area == pytest.approx(mine.geometry.area)
        assert (both.bounds[0], both.bounds[2]) == (-180.0, 180.0)
