"""A stand-in for SNAP's gpt; see README.md."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
CATALOGUE = HERE.parents[1] / "insar_mining" / "coherence" / "snap" / "operators.json"
VERSION = os.environ.get("STANDIN_VERSION", "13.0.4")


def main(arguments: list[str]) -> int:
    catalogue = json.loads(CATALOGUE.read_text("utf-8"))["operators"]
    if arguments == ["--diag"]:
        print(f"SNAP Release version {VERSION}\nSNAP home: {HERE}\nJava version: 21.0.5\nProcessors: 2")
        return 0
    if arguments == ["-h"]:
        print("Usage:\n  gpt <op>|<graph-file> [options]\nOperators:")
        print("\n".join(f"  {name}   ..." for name in catalogue))
        return 0
    try:
        run(arguments, catalogue)
    except SystemExit:
        raise
    except OSError as error:
        said = {errno.ENOSPC: "No space left on device", errno.EFBIG: "File too large"}.get(error.errno, str(error))
        report(f"java.io.IOException: {said}")
        return 1
    except Exception as error:  # gpt reports every Throwable and exits with 1
        report(str(error))
        return 1
    return 0


def report(message: str) -> None:
    """Say a failure as SNAP does: the end of the progress, then the message three times over, then jblas."""
    print(f"90% done.\n{message.partition('] ')[2] or message}", flush=True)
    print(f"\nError: {message}", file=sys.stderr)
    print(f"org.esa.snap.core.gpf.graph.GraphException: {message}", file=sys.stderr)
    print("\tat org.esa.snap.core.gpf.graph.GraphProcessor.executeGraph(GraphProcessor.java:123)", file=sys.stderr)
    print("-- org.jblas INFO Deleting /tmp/jblas123/libjblas.so", file=sys.stderr, flush=True)


def run(arguments: list[str], catalogue: dict) -> None:
    graph, *options = arguments
    mark = "-J-Dsnap.userdir="
    userdir = Path(next(option for option in options if option.startswith(mark)).removeprefix(mark))
    if "/" not in graph and not graph.endswith(".xml"):
        raise ValueError(f"unknown operator {graph}")
    text = Path(graph).read_text("utf-8")
    if "$" in text.split("-->", 1)[-1]:
        raise ValueError("a variable is not defined")
    nodes = ET.fromstring(text).findall("node")
    check(nodes, catalogue)

    import mischief

    kind = mischief.asked(Path(graph))
    print("Executing processing graph", flush=True)
    print("INFO: org.esa.snap.core.gpf.operators.tooladapter: Initializing", file=sys.stderr, flush=True)
    if kind in mischief.BEFORE:
        mischief.BEFORE[kind]()
    target = Path(next(n for n in nodes if n.findtext("operator") == "Write").findtext("parameters/file"))
    memory = Path(os.environ["STANDIN_REPLAY"]) if "STANDIN_REPLAY" in os.environ else None
    if memory is not None and (memory / target.name).is_file():
        replay(memory, target)
    else:
        try:
            execute(nodes, userdir)
        except Exception:
            leave_half(target)
            raise
        if memory is not None and target.is_file():
            memory.mkdir(exist_ok=True)
            copy(target, memory / target.name)
    if kind in mischief.AFTER:
        mischief.AFTER[kind](target)


def leave_half(target: Path) -> None:
    """Leave a header and an empty folder, as SNAP does after most failures."""
    target.with_suffix(".data").mkdir(exist_ok=True)
    target.write_text('<?xml version="1.0" encoding="ISO-8859-1"?>\n<Dimap_Document/>\n', encoding="utf-8")


def replay(memory: Path, target: Path) -> None:
    """Leave what an earlier run left under this name, without computing it again."""
    print("....50%", end="", flush=True)
    copy(memory / target.name, target)
    print("....100% done.", flush=True)


def copy(source: Path, target: Path) -> None:
    shutil.rmtree(target.with_suffix(".data"), ignore_errors=True)
    target.with_suffix(".data").mkdir()
    for file in source.with_suffix(".data").iterdir():
        shutil.copyfile(file, target.with_suffix(".data") / file.name)
    shutil.copyfile(source, target)


def check(nodes: list[ET.Element], catalogue: dict) -> None:
    """Refuse what SNAP of this version would not know."""
    major = int(VERSION.split(".")[0])
    names = [node.get("id") for node in nodes]
    for node in nodes:
        operator = catalogue.get(node.findtext("operator"))
        if operator is None or operator.get("since", 0) > major:
            raise ValueError(f"SPI not found for operator '{node.findtext('operator')}'")
        for parameter in node.find("parameters"):
            known = operator["parameters"].get(parameter.tag)
            if known is None or known.get("since", 0) > major or parameter.attrib:
                raise ValueError(f"[NodeId: {node.get('id')}] Unknown element '{parameter.tag}'")
            values = known.get(f"in_{major}", {}).get("values") or known.get("values")
            if values and not set((parameter.text or "").split(",")) <= set(values):
                raise ValueError(f"[NodeId: {node.get('id')}] Value for '{parameter.tag}' is invalid: {parameter.text}")
        for source in node.find("sources"):
            if source.get("refid") not in names:
                raise ValueError(f"[NodeId: {node.get('id')}] Missing source {source.get('refid')}")


def execute(nodes: list[ET.Element], userdir: Path) -> None:
    import copy

    import dimap_files
    import operators

    done: dict[str, dimap_files.Product] = {}
    readers = {s.get("refid"): node.findtext("operator") for node in nodes for s in node.find("sources")}
    for number, node in enumerate(nodes):
        parameters = {p.tag: (p.text or "").strip() for p in node.find("parameters")}
        sources = [copy.deepcopy(done[s.get("refid")]) for s in node.find("sources")]
        name = node.findtext("operator")
        if name == "Write":
            if sources[0].bands:  # of a product without pixels nothing is written, and that is no failure
                dimap_files.write(sources[0], Path(parameters["file"]))
        else:
            # SNAP 14 applies the orbit when it computes; whatever follows in the graph has read the vectors by then
            late = int(VERSION.split(".")[0]) >= 14 and readers[node.get("id")] != "Write"
            context = operators.Context(userdir, VERSION, late)
            try:
                done[node.get("id")] = operators.OPERATORS[name](sources, parameters, context)
            except operators.Failure as error:
                raise ValueError(f"[NodeId: {node.get('id')}] {error}") from error
        print(f"....{100 * (number + 1) // len(nodes)}%", end="", flush=True)
    print(" done.", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
