"""QGIS styles beside the maps of a result: a style of a map's own name is used when the map is opened."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from insar_mining.files import write_text

Colour = tuple[int, int, int]

# from ground as it was to ground that changed, in steps of the map's range
RAMP: Sequence[Colour] = ((49, 54, 149), (255, 255, 191), (165, 0, 38))

QGIS_VERSION = "3.28"


def write_palette(raster: Path, entries: Mapping[int, tuple[str, Colour]]) -> Path:
    """Write the style of a map of classes.

    Parameters
    ----------
    raster : Path
        The map; the style has its name and the ending ``.qml``.
    entries : mapping of int to (str, (int, int, int))
        Name and colour (0..255) of every value.
    """
    renderer = ElementTree.Element(
        "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, (name, colour) in entries.items():
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(value), label=name, color=_hexadecimal(colour), alpha="255"
        )
    return _write(raster, renderer)


def write_ramp(raster: Path, low: float, high: float) -> Path:
    """Write the style of a map of numbers: a ramp of colours from a low to a high value."""
    renderer = ElementTree.Element(
        "rasterrenderer",
        type="singlebandpseudocolor",
        band="1",
        opacity="1",
        alphaBand="-1",
        nodataColor="",
        classificationMin=f"{low:.10g}",
        classificationMax=f"{high:.10g}",
    )
    shader = ElementTree.SubElement(ElementTree.SubElement(renderer, "rastershader"), "colorrampshader")
    shader.attrib |= {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"}
    for number, colour in enumerate(RAMP):
        value = low + (high - low) * number / (len(RAMP) - 1)
        ElementTree.SubElement(
            shader, "item", value=f"{value:.10g}", label=f"{value:.10g}", color=_hexadecimal(colour), alpha="255"
        )
    return _write(raster, renderer)


def write_composite(raster: Path, low: float, high: float) -> Path:
    """Write the style of a composite: bands 1 to 3 as red, green and blue, stretched from a low to a high value."""
    bands = {"red": "1", "green": "2", "blue": "3"}
    renderer = ElementTree.Element(
        "rasterrenderer",
        {f"{colour}Band": band for colour, band in bands.items()},
        type="multibandcolor",
        opacity="1",
        alphaBand="-1",
        nodataColor="",
    )
    for colour in bands:
        stretch = ElementTree.SubElement(renderer, f"{colour}ContrastEnhancement")
        for name, value in (
            ("minValue", f"{low:.10g}"),
            ("maxValue", f"{high:.10g}"),
            ("algorithm", "StretchToMinimumMaximum"),
        ):
            ElementTree.SubElement(stretch, name).text = value
    return _write(raster, renderer)


def class_colour(value: int, count: int) -> Colour:
    """Return the colour of a class: of three years one primary colour per active year, else a hue of its own."""
    if count == 8:
        return 255 * (value & 1), 255 * (value >> 1 & 1), 255 * (value >> 2 & 1)
    red, green, blue = colorsys.hsv_to_rgb(value * 0.618034 % 1, 0.7 if value else 0.0, 0.9 if value else 0.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _hexadecimal(colour: Colour) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _write(raster: Path, renderer: ElementTree.Element) -> Path:
    """Write a style with one renderer."""
    root = ElementTree.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")
    ElementTree.SubElement(root, "pipe").append(renderer)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return write_text(raster.with_suffix(".qml"), f"<!DOCTYPE qgis>\n{text}\n")
