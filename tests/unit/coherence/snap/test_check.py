"""Graphs against the catalogue: the templates hold, and every kind of fault is found with its node and line."""

from __future__ import annotations

import pytest

from insar_mining.coherence.snap.check import catalogue, check_graph
from insar_mining.coherence.snap.graphs import (
    placeholders_of,
    read_template,
    refuse_faults,
    render,
    template_names,
    templates_folder,
)
from insar_mining.errors import EngineError, OptionError, SnapGraphError

VALUES = {
    "product_format": "SENTINEL-1",
    "product": "/data/ä [b] 'c'/manifest.safe",
    "slice_1": "/data/1.zip",
    "slice_2": "/data/2.zip",
    "swath": "IW1",
    "polarisation": "VV",
    "first_burst": 1,
    "last_burst": 3,
    "secondary_first_burst": 2,
    "secondary_last_burst": 4,
    "orbit_type": "Sentinel Precise (Auto Download)",
    "reference": "/data/reference & co.dim",
    "secondary": "/data/secondary <2>.dim",
    "stack": "/data/stack.dim",
    "interferogram": "/data/ifg.dim",
    "source": "/data/source.dim",
    "near": "/data/iw1.dim",
    "middle": "/data/iw2.dim",
    "far": "/data/iw3.dim",
    "dem": "/data/dem.tif",
    "dem_nodata": -32768.0,
    "remove_flat_earth": True,
    "remove_topography": False,
    "window_azimuth": 2,
    "window_range": 7,
    "region": "POLYGON ((0 0, 1 0, 1 1, 0 0))",
    "band": "coh_VV_04Sep2023_16Sep2023",
    "spacing_m": 20.0,
    "spacing_deg": 0.00018,
    "crs": "EPSG:32629",
    "grid_origin_m": 10.0,
    "target": "/data/target.dim",
}
TEMPLATES = template_names()
VERSIONS = (13, 14)


def rendered(name: str, version: int) -> str:
    template = read_template(name)
    return render(template, {key: VALUES[key] for key in placeholders_of(template)}, version, name=name)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def test_every_stage_has_a_template() -> None:
    assert {
        "split", "split-orbit", "slice-assembly", "coregister", "coregister-esd", "interferogram", "merge-two",
        "merge-three", "topographic-phase", "goldstein", "terrain-correction", "subset", "whole-chain",
    } <= set(TEMPLATES)  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_valid_and_write_out_every_parameter(name: str, version: int) -> None:
    assert check_graph(read_template(name), version, placeholders=True, complete=True) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_renderings_are_valid_and_complete(name: str, version: int) -> None:
    text = rendered(name, version)
    assert check_graph(text, version, complete=True) == []
    assert "${" not in text.split("-->", 1)[1]
    assert "since=" not in text


def test_values_survive_xml(tmp_path) -> None:
    from lxml import etree

    graph = etree.fromstring(rendered("coregister", 14).encode())
    assert [e.text for e in graph.iter("file")][:2] == [VALUES["reference"], VALUES["secondary"]]


def test_ground_at_zero_metres_survives_and_the_window_is_the_published_one() -> None:
    assert "<nodataValueAtSea>false</nodataValueAtSea>" in rendered("terrain-correction", 14)
    assert "<maskOutAreaWithoutElevation>false</maskOutAreaWithoutElevation>" in rendered("coregister", 14)
    graph = rendered("whole-chain", 13)
    for said in ("<cohWinAz>2<", "<cohWinRg>7<", "<imgResamplingMethod>BILINEAR_INTERPOLATION<", "<sourceBands>coh_VV"):
        assert said in graph


@pytest.mark.parametrize(
    ("name", "old", "new", "node", "message"),
    [
        ("split", "<subswath>IW1</subswath>", "<subSwath>IW1</subSwath>", "TOPSAR-Split", "did you mean 'subswath'?"),
        ("split", "<operator>TOPSAR-Split", "<operator>TOPSAR-Splt", "TOPSAR-Split", "no operator 'TOPSAR-Splt'"),
        ("split", "<firstBurstIndex>1<", "<firstBurstIndex>0<", "TOPSAR-Split", "must lie in [1, *)"),
        ("split", "<lastBurstIndex>3<", "<lastBurstIndex>three<", "TOPSAR-Split", "must be a number"),
        ("split", "<enableSingleSwathMode>true<", "<enableSingleSwathMode>yes<", "TOPSAR-Split", "true or false"),
        ("split-orbit", "Sentinel Precise (", "Sentinel Precis (", "Apply-Orbit-File", "allowed are"),
        ("coregister", "BISINC_21_POINT", "BISINC_20_POINT", "Back-Geocoding", "did you mean 'BISINC_21_POINT"),
        ("interferogram", "<srpNumberPoints>501<", "<srpNumberPoints>500<", "Interferogram", "allowed are"),
        ("interferogram", ">External DEM<", ">SRTM 1Sec HGT<", "Interferogram", "would ignore the file"),
        ("terrain-correction", ">External DEM<", ">Copernicus 30 DEM<", "Terrain-Correction", "does not know"),
        ("terrain-correction", 'refid="Read"', 'refid="Raed"', "Terrain-Correction", "no node; did you mean 'Read'"),
        ("terrain-correction", "<alignToStandardGrid>true<", "<alignToStandardGrid>${a}<", "Terrain-Correction", "$"),
        ("subset", "<fullSwath>false</fullSwath>", "<fullSwath>false</fullSwath><fullSwath>true</fullSwath>", "Subset",
         "given 2 times"),
        ("subset", "<file>/data/source.dim</file>", "", "Read", "needs file"),
        ("subset", "<sources/>", '<sources><sourceProduct refid="Subset"/></sources>', "Read", "takes no source"),
        ("merge-two", '      <sourceProduct.1 refid="Read-Far"/>\n', "", "TOPSAR-Merge", "needs two sources"),
        ("merge-two", "sourceProduct.1", "sourceProduct", "TOPSAR-Merge", "number them"),
        ("goldstein", "<version>1.0<", "<version>1<", "", "must be exactly 1.0"),
    ],
)  # fmt: skip
def test_a_fault_is_found_where_it_is(name: str, old: str, new: str, node: str, message: str) -> None:
    text = rendered(name, 14)
    assert old in text
    broken = text.replace(old, new, 1)
    findings = check_graph(broken, 14)
    hits = [f for f in findings if f.node == node and message in str(f)]
    assert hits, [str(f) for f in findings]
    exact = new.strip("\n") if new and "needs" not in message and "no operator" not in message else None
    if exact and "\n" not in exact:
        assert hits[0].line == line_of(broken, exact)


def test_a_dangling_node_is_found() -> None:
    text = rendered("subset", 14)
    lost = '<node id="Lost">\n<operator>Read</operator>\n<parameters><file>a.dim</file></parameters>\n</node>\n'
    broken = text.replace("</graph>", lost + "</graph>")
    (finding,) = check_graph(broken, 14)
    assert (finding.node, finding.line) == ("Lost", line_of(broken, 'id="Lost"'))
    assert "dangling" in finding.message


def test_a_second_sink_a_missing_sink_and_a_circle_are_found() -> None:
    text = rendered("subset", 14)
    write = text[text.index('  <node id="Write">') : text.index("</graph>")]
    twice = text.replace("</graph>", write.replace('id="Write"', 'id="Again"') + "</graph>")
    assert any("second Write" in str(f) and f.node == "Again" for f in check_graph(twice, 14))
    assert any("no Write node" in str(f) for f in check_graph(text.replace(write, ""), 14))
    circle = text.replace('refid="Read"', 'refid="Subset"')
    assert any("reads from itself" in str(f) and f.node == "Subset" for f in check_graph(circle, 14))


def test_the_same_id_twice_and_broken_xml_are_found() -> None:
    text = rendered("subset", 14)
    assert any("used by 2 nodes" in str(f) for f in check_graph(text.replace('id="Subset"', 'id="Read"'), 14))
    (finding,) = check_graph(text.replace("</version>", "</versio>"), 14)
    assert finding.line == line_of(text, "<version>")
    assert "not well-formed" in finding.message


def test_thirteen_does_not_know_what_came_with_fourteen() -> None:
    text = rendered("interferogram", 14)
    findings = check_graph(text, 13)
    assert {f.message.split("'")[1] for f in findings} == {
        "cohWinSizeMeters", "gslcModeAutoDetected", "subtractResidualRamp",
    }  # fmt: skip
    assert all("came with SNAP 14" in str(f) for f in findings)
    assert catalogue(13).operators.keys() == catalogue(14).operators.keys() - {"GSLC-Terrain-Correction"}


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(EngineError, match="known are 13 and 14"):
        check_graph("<graph/>", 9)


def test_rendering_refuses_missing_needless_and_dangerous_values() -> None:
    template = read_template("subset")
    with pytest.raises(OptionError, match="needs region, target"):
        render(template, {"source": "a.dim"}, 14, name="subset")
    values = {"source": "a.dim", "region": "POINT (0 0)", "target": "t.dim"}
    with pytest.raises(OptionError, match="does not use dem"):
        render(template, {**values, "dem": "x"}, 14)
    with pytest.raises(OptionError, match=r"none with a \$"):
        render(template, {**values, "source": "/data/$HOME/a.dim"}, 14)


def test_own_templates_are_found_and_checked(tmp_path, monkeypatch) -> None:
    own = read_template("subset").replace("subSamplingX>", "subSampelingX>")
    (tmp_path / "subset.xml").write_text(own, encoding="utf-8")
    monkeypatch.setenv("INSAR_MINING_SNAP_GRAPHS", str(tmp_path))
    assert templates_folder() == tmp_path
    assert template_names() == ["subset"]
    with pytest.raises(SnapGraphError, match=r"line \d+, node Subset: .*subSampelingX.*did you mean 'subSamplingX'"):
        render(read_template("subset"), {k: VALUES[k] for k in ("source", "region", "target")}, 14, name="subset")
    monkeypatch.setenv("INSAR_MINING_SNAP_GRAPHS", str(tmp_path / "none"))
    with pytest.raises(OptionError, match="no folder"):
        templates_folder()


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_and_renderings_open_in_the_graph_builder(name: str) -> None:
    """What SNAP's Graph Builder asks of a file, as read in its sources (GraphExecuter, GraphNode).

    Every node has <parameters>; a value that does not begin with $ is parsed as its Java type at once (check_graph has
    that), so a placeholder stands at the beginning of its value; and without <applicationData id="Presentation">
    all nodes are drawn at one point.
    """
    from lxml import etree

    template = read_template(name)
    for text in (template, *(rendered(name, version) for version in VERSIONS)):
        root = etree.fromstring(text.encode())
        nodes = {node.get("id"): node for node in root.iter("node") if node.getparent() is root}
        (presentation,) = root.findall("applicationData")
        assert presentation.get("id") == "Presentation"
        assert len(presentation.findtext("Description")) > 15
        places = {
            node.get("id"): tuple(float(node.find("displayPosition").get(axis)) for axis in "xy")
            for node in presentation.findall("node")
        }
        assert places.keys() == nodes.keys()
        assert len(set(places.values())) == len(nodes)  # none covers another
        for key, node in nodes.items():
            assert node.find("parameters") is not None
            for source in node.find("sources"):
                assert places[source.get("refid")][0] + 150 <= places[key][0]  # from left to right, names have room
            for parameter in node.find("parameters").iterchildren(etree.Element):
                assert "$" not in (parameter.text or "").lstrip()[1:]


def test_a_valid_graph_passes() -> None:
    refuse_faults(rendered("subset", 13), 13, name="subset")
