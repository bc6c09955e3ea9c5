"""XML as a small tree that knows the line of every element, which the standard library's does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat


class MalformedXmlError(ValueError):
    """The text is not XML; `line` says where it stops being so."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(eq=False)
class Element:
    """One element: tag, attributes, own text, children, and the line of its start tag (from 1)."""

    tag: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """Return the first child of a name, None if there is none."""
        return next(self.all(tag), None)

    def all(self, tag: str) -> Iterator[Element]:
        """Yield the children of a name."""
        return (child for child in self.children if child.tag == tag)

    def value(self, tag: str) -> str | None:
        """Return the text of the first child of a name, without spaces around it."""
        child = self.child(tag)
        return None if child is None else child.text.strip()


def parse(text: str | bytes) -> Element:
    """Parse XML.

    Raises
    ------
    MalformedXmlError
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    root = Element("", 0)
    open_elements = [root]

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, parser.CurrentLineNumber, attributes)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(tag: str) -> None:
        open_elements.pop()

    def characters(data: str) -> None:
        open_elements[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise MalformedXmlError(expat.ErrorString(error.code), error.lineno) from None
    return root.children[0]
