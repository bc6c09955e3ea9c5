"""Elements of metadata files by their paths: the one place that says which is missing."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from insar_mining.errors import ProductError


class MissingElementError(ProductError):
    """A metadata file has no element that its specification requires."""


def element_at(root: Element, path: str) -> Element:
    """Return the first element at a path below another.

    Raises
    ------
    MissingElementError
        There is none.
    """
    found = root.find(path)
    if found is None:
        raise MissingElementError(f"<{root.tag}>: element {path} is missing. Fetch the product again")
    return found


def text_of(root: Element, path: str) -> str:
    """Return the text of an element without white space around it; errors as :func:`element_at`."""
    return (element_at(root, path).text or "").strip()


def number_of(root: Element, path: str) -> float:
    """Return the number in an element; errors as :func:`element_at`, and ValueError for another text."""
    return float(text_of(root, path))


def set_text(root: Element, path: str, text: str) -> None:
    """Replace the text of an element; errors as :func:`element_at`."""
    element_at(root, path).text = text
