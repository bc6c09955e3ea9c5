"""Turn notebooks into pages of the site: text and code as they are, outputs beside them if they are run."""

from __future__ import annotations

import base64
import html
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

# what one output may be shown as, the best first
SHOWN = ("image/png", "image/svg+xml", "text/html", "text/plain")
SECONDS = 1800
# a kernel warns that its TCP sockets are not encrypted; they are of the loopback interface
QUIET = ["--log-level=ERROR"]
NOT_RUN = '!!! note "Built without outputs"\n    `make docs` runs every notebook and shows its tables and figures.\n'


def pages_of(path: Path, *, execute: bool) -> dict[str, str | bytes]:
    """Return the page of a notebook and the files that it shows, by their place in the site."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        if execute:
            for recorded in path.parent.glob("*.geojson"):  # what a notebook reads beside itself
                shutil.copy(recorded, folder)
            place = {"metadata": {"path": folder}}
            client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place)
            client.extra_arguments = QUIET
            client.execute()
        files: dict[str, str | bytes] = {}
        parts: list[str] = []
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                parts.append(_spaced_lists(cell.source))
                continue
            parts.append(f"```python\n{cell.source}\n```")
            for number, output in enumerate(cell.outputs):
                place = f"{path.stem}/{cell.id}-{number}"
                parts.append(_shown(output, place, _caption(cell.id), Path(folder), files))
    if not execute:
        parts.insert(1, NOT_RUN)
    page = "\n\n".join(part for part in parts if part)
    return {f"notebooks/{path.stem}.md": page, **{f"notebooks/{name}": content for name, content in files.items()}}


def _shown(output: Any, place: str, caption: str, folder: Path, files: dict[str, str | bytes]) -> str:
    """Write one output as Markdown; pictures and files that it links to are added to `files`."""
    if output.output_type == "stream":
        return _text(output.text.replace(f"{folder}/", ""))
    data = output.get("data", {})
    kind = next((kind for kind in SHOWN if kind in data), None)
    if kind is None:
        return ""
    content = "".join(data[kind])
    if kind == "image/png":
        files[f"{place}.png"] = base64.b64decode(content)
        return f"![{caption}]({place}.png)"
    if kind == "image/svg+xml":
        files[f"{place}.svg"] = content
        return f"![{caption}]({place}.svg)"
    content = content.replace(f"{folder}/", "")
    return _text(content) if kind == "text/plain" else _html(content, place, folder, files)


def _html(content: str, place: str, folder: Path, files: dict[str, str | bytes]) -> str:
    """Write an HTML output: a link to a file brings the file with it, a finished progress bar is left out."""
    if "<progress" in content:
        return ""
    link = re.search(r"<a href='([^']+)'", content)
    if link is not None:
        made = folder / html.unescape(link[1])
        name = f"{place.partition('/')[0]}/{made.name}"
        files[name] = made.read_bytes()
        return f'[{made.name}]({name}){{target="_blank"}}'
    content = re.sub(r"<style.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r'\s(?:id|border|class)="[^"]*"', "", content).replace("<table", '<table class="dataframe"')
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    return '<div class="output">\n' + "\n".join(lines) + "\n</div>"


def _text(text: str) -> str:
    """Fence printed text; of a line that was written again and again the last state is shown, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rstrip().rpartition("\r")[2] for line in text.rstrip().split("\n")]
    return "```text\n" + "\n".join(lines) + "\n```" if any(lines) else ""


def _caption(cell: str) -> str:
    return f"Output of the cell: {cell.replace('-', ' ')}"


def _spaced_lists(text: str) -> str:
    """Set a blank line before a list that follows a line of text, as Markdown of notebooks does not ask for."""
    return re.sub(r"(?m)^((?![-*|] ).+)\n(?=[-*] )", r"\1\n\n", text)
