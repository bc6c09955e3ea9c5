"""Which polygon of a file is meant, and that names do no harm."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from insar_mining.cli.speech import print_table
from insar_mining.errors import MineError, SkippedInputWarning
from insar_mining.geo.mines import dissolved, mine_from_geometry, polygon_hash, read_mines
from insar_mining.pipeline.inputs import mine_of
from insar_mining.pipeline.outputs import write_table

PIT, DUMP, POND = (shapely.box(-8.80 + 0.02 * n, 31.78, -8.78 + 0.02 * n, 31.80) for n in range(3))


def geojson(path: Path, shapes: list[shapely.Polygon], properties: list[dict[str, object]]) -> Path:
    features = [
        {"type": "Feature", "properties": known, "geometry": shapely.geometry.mapping(shape)}
        for shape, known in zip(shapes, properties, strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    known = [{"kind": "pit", "name": "North"}, {"kind": "dump", "name": "South"}, {"kind": "pond", "name": "South"}]
    return geojson(tmp_path / "site.geojson", [PIT, DUMP, POND], known)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("site-2", "site-2"),
        ("north", "site-1"),
        ("kind=pond", "site-3"),
        ("KIND = dump", "site-2"),
        ("-8.77,31.79", "site-2"),
    ],
)
def test_a_mine_is_chosen_by_id_name_attribute_or_place(site: Path, wanted: str, found: str) -> None:
    assert mine_of(site, wanted).id == found


@pytest.mark.parametrize("wanted", ["South", "kind=none", "0,0", "site-9", None])
def test_what_is_not_one_mine_lists_them(site: Path, wanted: str | None) -> None:
    with pytest.raises(MineError, match="site-2"):
        mine_of(site, wanted)


def test_all_polygons_of_a_file_are_one_mine(site: Path) -> None:
    whole = mine_of(site, "all")
    assert whole.id == "site"
    assert whole.geometry.equals(shapely.union_all([PIT, DUMP, POND]))
    assert whole.properties["parts"] == ["site-1", "site-2", "site-3"]
    with pytest.raises(MineError, match="no polygon"):
        dissolved([], id="none")


def test_pit_dump_and_ponds_of_a_kmz_are_one_mine(tmp_path: Path) -> None:
    marks = "".join(
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        + " ".join(f"{x},{y},0" for x, y in shape.exterior.coords)
        + "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
        for name, shape in (("pit", PIT), ("dump", DUMP), ("ponds", POND))
    )
    with zipfile.ZipFile(tmp_path / "site.kmz", "w") as archive:
        archive.writestr(
            "doc.kml",
            f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{marks}</Document></kml>',
        )
    assert mine_of(tmp_path / "site.kmz", "dump").geometry.equals(DUMP)
    apart = sum(mine.area_m2() for mine in read_mines(tmp_path / "site.kmz"))
    assert mine_of(tmp_path / "site.kmz", "all").area_m2() == pytest.approx(apart, rel=1e-9)


@pytest.mark.parametrize("field", ["@id", "osm_id", "full_id"])
def test_ids_of_openstreetmap_are_ids(tmp_path: Path, field: str) -> None:
    path = geojson(tmp_path / "osm.geojson", [PIT, DUMP], [{field: "way/11"}, {field: "way/12"}])
    assert [mine.id for mine in read_mines(path)] == ["way/11", "way/12"]


@given(st.permutations(range(3)))
def test_ids_of_global_footprints_do_not_depend_on_the_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    shapes = [PIT, DUMP, POND]
    path = tmp_path_factory.mktemp("maus") / "mining_polygons.geojson"
    geojson(path, [shapes[n] for n in order], [{"ISO3_CODE": "MAR", "AREA": float(n)} for n in order])
    ids = {mine.properties["AREA"]: mine.id for mine in read_mines(path)}
    assert [ids[n] for n in range(3)] == [f"MAR-{polygon_hash(shape)}" for shape in shapes]
    assert len(set(ids.values())) == 3


def test_a_polygon_keeps_its_hash_whatever_vertex_comes_first() -> None:
    turned = shapely.Polygon([*list(PIT.exterior.coords)[2:-1], *list(PIT.exterior.coords)[:3]])
    assert polygon_hash(turned) == polygon_hash(PIT) != polygon_hash(DUMP)


def test_geoparquet_is_read(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"mine_id": ["a", "b"], "n": [1, None]}, geometry=[PIT, DUMP], crs=4326).to_crs(32629)
    frame.to_parquet(tmp_path / "mines.parquet")
    mines = read_mines(tmp_path / "mines.parquet")
    assert [mine.id for mine in mines] == ["a", "b"]
    assert mines[0].geometry.symmetric_difference(PIT).area < 1e-9
    assert mines[1].properties["n"] is None
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(MineError, match="GeoParquet"):
        read_mines(tmp_path / "broken.parquet")


def test_a_country_is_no_mine(tmp_path: Path) -> None:
    country = shapely.box(-9, 30, -7, 32)
    with pytest.raises(MineError, match="country or district"):
        read_mines(geojson(tmp_path / "one.geojson", [country], [{}]))
    with pytest.warns(SkippedInputWarning, match="country or district"):
        assert len(read_mines(geojson(tmp_path / "two.geojson", [country, PIT], [{}, {}]))) == 1


@pytest.mark.parametrize("name", ['=HYPERLINK("http://localhost")', "+1+2", "@x", "-2*3", "\t=1"])
def test_names_are_no_formulas_in_tables(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / "a.csv", pd.DataFrame({"mine_id": [name, "pit-1"], "area_m2": [-1.5, 2.0]}))
    with (tmp_path / "a.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[1:] == [[f"'{name}", "-1.5"], ["pit-1", "2"]]


def test_markup_in_names_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pd.DataFrame({"mine": ["[bold]a[/bold]"]}), as_json=False, title="of [/red] [link=x]")
    shown = capsys.readouterr().out
    assert "[bold]a[/bold]" in shown
    assert "[/red] [link=x]" in shown


def test_names_with_markup_are_mines() -> None:
    assert mine_from_geometry(PIT, id="=1", name="<script>$x_{</script>").name == "<script>$x_{</script>"
