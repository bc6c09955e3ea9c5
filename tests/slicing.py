"""Products cut to some of their bursts and samples, with the simulator's own editing of annotations and manifests.

It shares no code with what joins slices or reads single bursts.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import annotation_xml as edit
from insar_mining.simulate.safe import Image, SafeWriter, file_stem, tie_points, tiff_header


def cut_product(
    safe: Path,
    out: Path,
    bursts: slice | dict[str, slice],
    *,
    samples: slice | None = None,
    polarisation: str = "VV",
) -> Path:
    """Write the product that the processor would have made of some bursts (and samples) of another.

    ``bursts`` may differ by sub-swath; sub-swaths that it does not name are left out.
    """
    product = open_product(safe)
    wanted = bursts if isinstance(bursts, dict) else dict.fromkeys(product.swaths, bursts)
    writer = SafeWriter(out)
    images = []
    for number, (name, some) in enumerate(sorted(wanted.items()), start=1):
        (path,) = (safe / "annotation").glob(f"s1?-{name.lower()}-slc-{polarisation.lower()}-*.xml")
        whole = parse_annotation(path.read_bytes(), source=path.name)
        first, stop, _ = some.indices(len(whole.bursts))
        left, right, _ = (samples or slice(None)).indices(whole.samples_per_burst)
        xml = edit.cut_annotation(path.read_bytes(), edit.Cut(first, stop, left, right), image_number=number)
        swath = parse_annotation(xml, source=path.name)
        tiff = writer.partial / "measurement" / f"{file_stem(swath, xml)}.tiff"
        lines = np.concatenate(
            [product.read_burst(name, polarisation, index)[:, left:right] for index in range(first, stop)]
        )
        pixels = np.ascontiguousarray(lines).view(np.float32).round().astype("<i2")
        header = tiff_header(pixels.shape[0], right - left, tie_points(swath), dt.datetime(2023, 9, 4))
        tiff.write_bytes(header + pixels.tobytes())
        images.append(Image(swath, xml, tiff))
    return writer.finish(images, (safe / "manifest.safe").read_bytes(), days=0, zipped=False)


def drop_burst(safe: Path, swath: str, index: int, *, pixels: bool = True) -> None:
    """Take one burst out of the middle of a product: its entry, its lines and its row of tie points."""
    (path,) = (safe / "annotation").glob(f"s1?-{swath.lower()}-*.xml")
    tiff = safe / "measurement" / f"{path.stem}.tiff"
    before = parse_annotation(path.read_bytes(), source=path.name)
    lines = before.lines_per_burst
    root = ElementTree.fromstring(path.read_bytes())
    bursts = root.find("swathTiming/burstList")
    grid = root.find("geolocationGrid/geolocationGridPointList")
    assert bursts is not None
    assert grid is not None
    bursts.remove(bursts[index])
    for point in list(grid):
        line = point.find("line")
        assert line is not None
        assert line.text
        row = int(line.text)
        if row == index * lines:
            grid.remove(point)
        elif row > index * lines:
            line.text = str(row - lines)
    root.find("imageAnnotation/imageInformation/numberOfLines").text = str(lines * len(bursts))  # type: ignore[union-attr]
    if not pixels:
        path.write_bytes(ElementTree.tostring(root))
        return
    product = open_product(safe)
    kept = [product.read_burst(swath, before.polarisation, k) for k in range(len(before.bursts)) if k != index]
    path.write_bytes(ElementTree.tostring(root))
    after = parse_annotation(path.read_bytes(), source=path.name)
    values = np.ascontiguousarray(np.concatenate(kept)).view(np.float32).round().astype("<i2")
    header = tiff_header(values.shape[0], before.samples_per_burst, tie_points(after), dt.datetime(2023, 9, 4))
    tiff.write_bytes(header + values.tobytes())


def relabelled(safe: Path, out: Path, *changes: tuple[str, str]) -> Path:
    """Copy a product under other names: of files, and wherever annotations and the manifest have the texts."""
    name = _changed(safe.name, changes)
    for path in sorted(path for path in safe.rglob("*") if path.is_file()):
        target = out / name / path.parent.relative_to(safe) / _changed(path.name, changes)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tiff":
            target.hardlink_to(path)
        else:
            target.write_text(_changed(path.read_text("utf-8"), changes), encoding="utf-8")
    return out / name


def _changed(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        text = text.replace(old, new)
    return text


def as_polarisation(safe: Path, out: Path, polarisation: str) -> Path:
    """The same pixels as if they had been received in another polarisation."""
    new = polarisation.lower()
    return relabelled(
        safe,
        out,
        ("-slc-vv-", f"-slc-{new}-"),
        ("slcvv", f"slc{new}"),
        ("<polarisation>VV<", f"<polarisation>{polarisation}<"),
        ("Polarisation>VV<", f"Polarisation>{polarisation}<"),
        ("_1SSV_", f"_1SS{polarisation[0]}_"),
    )


def as_platform(safe: Path, out: Path, letter: str) -> Path:
    """The same pixels as if another of the satellites had taken them."""
    return relabelled(
        safe,
        out,
        ("s1a-", f"s1{letter.lower()}-"),
        ("s1aiw", f"s1{letter.lower()}iw"),
        ("S1A_", f"S1{letter}_"),
        ("<missionId>S1A<", f"<missionId>S1{letter}<"),
        (":number>A<", f":number>{letter}<"),
    )


def as_bursts(safe: Path, out: Path, polarisation: str = "VV") -> Path:
    """Lay the bursts of a product out as ASF's extractor does: a TIFF each, and the metadata in one XML."""
    out.mkdir(parents=True)
    product = open_product(safe)
    root = ElementTree.Element("burst")
    metadata = ElementTree.SubElement(root, "metadata")
    for name in product.swaths:
        swath = product.sub_swath(name, polarisation)
        (path,) = (safe / "annotation").glob(f"s1?-{name.lower()}-slc-{polarisation.lower()}-*.xml")
        wrapper = ElementTree.SubElement(metadata, "product")
        ElementTree.SubElement(wrapper, "swath").text = name
        ElementTree.SubElement(wrapper, "polarisation").text = polarisation
        ElementTree.SubElement(wrapper, "content").extend(ElementTree.fromstring(path.read_bytes()))
        for burst in swath.bursts:
            start = str(swath.utc(burst.azimuth_time_s).astype("datetime64[s]")).replace("-", "").replace(":", "")
            file = out / f"S1_{110433 + burst.index}_{name}_{start}_{polarisation}_ABCD-BURST.tiff"
            pixels = product.read_burst(name, polarisation, burst.index).view(np.float32).round().astype("<i2")
            header = tiff_header(*pixels.shape[:1], swath.samples_per_burst, tie_points(swath), dt.datetime(2023, 9, 4))
            file.write_bytes(header + pixels.tobytes())
    manifest = (safe / "manifest.safe").read_bytes()
    ElementTree.SubElement(root, "manifest").append(ElementTree.fromstring(manifest))
    (out / f"{safe.stem}_{polarisation}.xml").write_bytes(ElementTree.tostring(root))
    return out
