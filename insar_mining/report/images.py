"""Draw figures as data URIs: maps as PNG, line plots as SVG."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageChops

MAP_DPI = 160
"""Sharper than most screens show a map of its size, and enough for print."""


@dataclass(frozen=True)
class Picture:
    """Describe an image inside the report.

    Attributes
    ----------
    uri : str
        ``data:`` URI.
    alt : str
        What the image shows, for those who cannot see it.
    width, height : int
        CSS pixels, so that the page does not jump while it loads.
    """

    uri: str
    alt: str
    width: int
    height: int


def as_png(figure: Figure, alt: str, *, colours: int | None = 256) -> Picture:
    """Draw a figure with map cells: PNG with a palette.

    Parameters
    ----------
    figure : Figure
    alt : str
    colours : int, optional
        Size of the palette, which makes the file three to four times smaller. None keeps all
        colours, for a composite of three bands.
    """
    figure.set_dpi(MAP_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = _trimmed(Image.fromarray(pixels).convert("RGB"))
    if colours is not None:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    image.save(packed, format="PNG")
    size = (round(96 * side / MAP_DPI) for side in image.size)
    return _picture("image/png", packed.getvalue(), alt, *size)


def _trimmed(image: Image.Image) -> Image.Image:
    """Crop the blank margins, which depend on the shape of the map."""
    box = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    if box is None:
        return image
    left, top, right, bottom = box
    width, height = image.size
    return image.crop((max(left - 4, 0), max(top - 4, 0), min(right + 4, width), min(bottom + 4, height)))


def as_svg(figure: Figure, alt: str) -> Picture:
    """Draw a figure of lines and text: SVG, sharp at every size, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    svg = _numbered_ids(buffer.getvalue().decode("utf-8"))
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return _picture("image/svg+xml", svg.encode("utf-8"), alt, width, height)


def _numbered_ids(svg: str) -> str:
    """Replace Matplotlib's random identifiers by numbers: its salt for them is a global setting."""
    names = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
    numbers = {name: f"n{number}" for number, name in enumerate(names)}
    svg = re.sub(r'\bid="([^"]+)"', lambda match: f'id="{numbers[match[1]]}"', svg)
    return re.sub(r"#([A-Za-z_][\w.-]*)(?=[\")])", lambda match: f"#{numbers.get(match[1], match[1])}", svg)


def _picture(kind: str, data: bytes, alt: str, width: int, height: int) -> Picture:
    return Picture(f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}", alt, width, height)
