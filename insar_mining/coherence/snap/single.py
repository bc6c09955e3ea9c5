"""Any one graph, run as the engine runs its own: watched, without network, its product checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from insar_mining.coherence.plan.model import Progress
from insar_mining.coherence.snap.dimap import Dimap, check_content, read_dimap
from insar_mining.coherence.snap.engine import warn_of_version
from insar_mining.coherence.snap.gpt import Gpt
from insar_mining.coherence.snap.graphs import known_version, read_template, render
from insar_mining.coherence.snap.install import find_snap
from insar_mining.coherence.snap.provision import LaidOrbit, lay_geoid, lay_orbit
from insar_mining.coherence.snap.settings import settings
from insar_mining.coherence.snap.stage import refuse_other_orbits, run_checked
from insar_mining.coherence.snap.workspace import discard, workspace
from insar_mining.coherence.snap.xmltree import parse
from insar_mining.errors import OptionError, SnapOrbitError

APPLY_ORBIT = "Apply-Orbit-File"


def run_graph(
    name: str,
    values: Mapping[str, object],
    *,
    orbits: Sequence[Path] = (),
    folder: Path | None = None,
    progress: Progress = lambda share: None,
) -> Dimap:
    """Fill in a template and run it in the installed SNAP.

    Parameters
    ----------
    name : str
        Of the template: slice assembly, topographic phase, Goldstein, the whole chain, or any other.
    values : mapping
        A value for every placeholder; ``target`` is a path that ends in ``.dim``.
    orbits : sequence of path
        Orbit files (EOF) for Apply-Orbit-File, in the order of the product's dates.
    folder : path, optional
        Of the templates.

    Returns
    -------
    Dimap
        The product, whole, not empty, and made with these orbits.

    Raises
    ------
    OptionError
        A value is missing, or the target is no ``.dim``.
    EngineError, SnapError
        SNAP is not there, or failed, by name.
    """
    install, limits = find_snap(), settings()
    warn_of_version(install.version, install.version_text)
    target = Path(str(values.get("target", ""))).absolute()
    if target.suffix != ".dim":
        raise OptionError(f"graph {name!r}: target is {str(values.get('target', ''))!r}; it must end in .dim")
    version = known_version(install.version)
    text = render(read_template(name, folder), {**values, "target": target}, version, name=name)
    applies_orbit = any(node.value("operator") == APPLY_ORBIT for node in parse(text).all("node"))
    if applies_orbit and not orbits:
        raise SnapOrbitError(
            f"graph {name!r} has {APPLY_ORBIT}, and SNAP would fetch orbit files by itself; give them (--orbit)"
        )
    with workspace(limits.scratch or target.parent, name, limits, 0) as work:
        lay_geoid(work.real / "userdir")
        laid = [lay_orbit(orbit, work.real / "userdir") for orbit in orbits]
        graph = work.path / f"{name}.xml"
        graph.write_text(text, encoding="utf-8")

        def check() -> Dimap:
            product = read_dimap(target)
            check_content(product)
            refuse_other_orbits(product, _in_order(laid) if applies_orbit else [])
            return product

        runner = Gpt([str(install.gpt)], work.path / "userdir", work.path, install.version_text)
        with closing(runner):
            return run_checked(runner, graph, name, limits, check, progress=progress, again=lambda: discard(target))


def _in_order(laid: Sequence[LaidOrbit]) -> list[tuple[str, LaidOrbit | None]]:
    names = ["reference", *("secondary" for _ in laid[1:])]
    return list(zip(names, laid, strict=True))
