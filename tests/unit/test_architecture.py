"""What keeps the package readable: imports point downward, files stay small, public things are explained."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "insar_mining"
MODULES = sorted(PACKAGE.rglob("*.py"))

# from the bottom to the top; modules of one layer may import one another
LAYERS = (
    {"arrays", "display", "doors", "ends", "errors", "files", "jit", "machine", "tables"},
    {"geo", "options"},
    {"sentinel1"},
    {"scenes", "download"},
    {"geometry"},
    {"coherence"},
    {"activity"},
    {"emissions"},
    {"report"},
    {"pipeline"},
    {"portfolio"},
    {"cli", "accessor", "__init__", "__main__"},
)
ARRAYS = {
    node.targets[0].id
    for node in ast.parse((PACKAGE / "arrays.py").read_text("utf-8")).body
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
}
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

# simulate stands beside the others: it may use these, and only the command line may use it
SIMULATE_MAY_USE = {*LAYERS[0], *LAYERS[1], "sentinel1", "coherence", "simulate"}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def top_of(path: Path) -> str:
    """Name of the folder or module directly in the package that a file belongs to."""
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, with the line."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # tests import their neighbours so; the package does not
                assert PACKAGE not in path.parents, f"{path}:{node.lineno}: imports are absolute"
            elif node.module == "insar_mining":
                yield from ((f"insar_mining.{alias.name}", node.lineno) for alias in node.names)
            elif node.module is not None:
                yield node.module, node.lineno


def test_imports_point_downward() -> None:
    faults = []
    for path in MODULES:
        own = top_of(path)
        for module, line in imports_of(path):
            if not module.startswith("insar_mining."):
                continue
            other = module.split(".")[1]
            if other == "__version__":
                continue
            if own == "simulate":
                allowed = other in SIMULATE_MAY_USE
            elif other == "simulate":
                allowed = own == "cli"
            else:
                assert own in HEIGHT, f"{own} has no layer: give it one in this test"
                allowed = HEIGHT[other] <= HEIGHT[own]
            if not allowed:
                faults.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not faults, "\n".join(faults)


def folder_imports() -> dict[str, set[str]]:
    """Folders, subfolders apart, that the files of each folder import from."""
    home = {".".join(p.relative_to(ROOT).with_suffix("").parts): str(p.parent.relative_to(ROOT)) for p in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if path.name == "__init__.py":  # the lists of public names
            continue
        own = str(path.parent.relative_to(ROOT))
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                    if name in home and home[name] not in (own, PACKAGE.name):
                        graph.setdefault(own, set()).add(home[name])
    return graph


def test_folders_import_one_another_in_one_direction_only() -> None:
    """No circle between folders, subfolders included; the package's own folder holds what all may use."""
    graph = folder_imports()
    order = graphlib.TopologicalSorter(graph)
    order.prepare()
    assert {"insar_mining/pipeline", "insar_mining/coherence/snap"} <= set(graph)


def test_modules_import_one_another_in_one_direction_only() -> None:
    """No circle between files either, imports inside functions included."""
    named = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in MODULES}
    graph = {
        own: {
            name
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ImportFrom) and node.module
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
            if name in named and name != own
        }
        for own, path in named.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_no_file_is_longer_than_500_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text("utf-8").splitlines())) > 500}
    assert not long


def test_no_public_class_is_defined_twice() -> None:
    """One name means one thing wherever it is met."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(homes) > 100
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def test_types_of_arrays_are_defined_in_one_place() -> None:
    named = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if path.name != "arrays.py"
        for node in tree_of(path).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ARRAYS
    }
    assert len(ARRAYS) > 5
    assert not named


def calls_of(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_the_library_does_not_print_nor_seed_the_global_generator() -> None:
    forbidden = {"print", "np.random.seed", "numpy.random.seed", "random.seed"}
    found = [f"{p.relative_to(ROOT)}:{line} {name}" for p in MODULES for name, line in calls_of(p) if name in forbidden]
    assert not found


def test_only_one_module_writes_csv() -> None:
    """Cells from outside that look like formulas are made harmless there."""
    found = {str(p.relative_to(PACKAGE)) for p in MODULES for name, _ in calls_of(p) if name.endswith(".to_csv")}
    assert found == {"tables.py"}


DELETING = {"unlink", "rmdir", "rmtree", "removedirs"}


def test_only_one_module_deletes() -> None:
    """Whatever deletes goes through `insar_mining.files.delete`, which asks what wrote a file."""
    found = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
                name = next((alias.name for alias in node.names if alias.name in {*DELETING, "remove"}), "")
            if name == "os.remove" or name.rpartition(".")[2] in DELETING:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")  # type: ignore[attr-defined]
    assert {place.partition(":")[0] for place in found} == {"insar_mining/files.py"}, "\n".join(found)


def public_definitions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree_of(path).body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (n for n in node.body if isinstance(n, kinds) and not n.name.startswith("_"))


def test_every_module_and_every_public_thing_has_a_docstring() -> None:
    bare = [str(p.relative_to(ROOT)) for p in MODULES if not ast.get_docstring(tree_of(p))]
    bare += [
        f"{p.relative_to(ROOT)}:{node.lineno} {node.name}"
        for p in MODULES
        for node in public_definitions(p)
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert not bare, "\n".join(bare)


def is_overload(node: ast.AST) -> bool:
    return any("overload" in ast.unparse(d) for d in getattr(node, "decorator_list", ()))


def test_no_mutable_default_arguments() -> None:
    found = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
                found += [
                    f"{path.relative_to(ROOT)}:{d.lineno}"
                    for d in defaults
                    if isinstance(d, ast.List | ast.Dict | ast.Set)
                ]
    assert not found


def third_party(paths: list[Path]) -> dict[str, str]:
    """Top-level names of imports that are neither the standard library nor this package, with one place each."""
    found: dict[str, str] = {}
    for path in paths:
        for module, line in imports_of(path):
            name = module.split(".")[0]
            if name not in sys.stdlib_module_names and name not in ("insar_mining", "tests", "conftest"):
                found.setdefault(name, f"{path.relative_to(ROOT)}:{line}")
    return found


def declared(*groups: list[str]) -> set[str]:
    """Distribution names of requirements, normalised."""
    names = (re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0] for group in groups for requirement in group)
    return {normal(name) for name in names}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def installed() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def distributions(module: str) -> set[str]:
    return {normal(name) for name in installed().get(module, [module])}


@pytest.fixture(scope="module")
def project() -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return content


def test_every_import_of_the_package_is_declared(project: dict[str, dict[str, list[str]]]) -> None:
    # dask is asked for by name where it is missing
    known = declared(project["dependencies"], project["optional-dependencies"]["scale"])  # type: ignore[arg-type]
    missing = {name: place for name, place in third_party(MODULES).items() if not distributions(name) & known}
    assert not missing, missing


def test_every_declared_dependency_is_imported(project: dict[str, dict[str, list[str]]]) -> None:
    imported = {distribution for name in third_party(MODULES) for distribution in distributions(name)}
    through_xarray = {"zarr", "h5netcdf"}  # xarray.DataArray.to_zarr, xarray.open_dataset
    assert not declared(project["dependencies"]) - imported - through_xarray  # type: ignore[arg-type]


def test_every_import_of_the_tests_is_declared(project: dict[str, dict[str, list[str]]]) -> None:
    optional = project["optional-dependencies"]
    known = declared(project["dependencies"], optional["dev"], optional["stac"], optional["browser"])  # type: ignore[arg-type]
    # what lies in a folder of benchmarks/ runs in an environment of its own
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    missing = {name: place for name, place in third_party(paths).items() if not distributions(name) & known}
    helpers = {p.stem for p in paths} | {p.parent.name for p in paths}
    assert not {name: place for name, place in missing.items() if name not in helpers}


def test_no_name_that_is_imported_late_is_that_of_a_module() -> None:
    """Importing the module first would put it in the place of the function of the same name."""
    from insar_mining import activity

    assert not set(activity._HOMES) & set(activity._HOME_OF)


def test_kernels_are_compiled_in_one_way() -> None:
    """numba's own cache raises where it is full or damaged, and misses changes of kernels in other files."""
    direct = re.compile(r"@(numba\.)?(njit|jit)\(.*cache=True|numba\.n?jit\(")
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if direct.search(path.read_text(encoding="utf-8"))}
    assert users == {"jit.py"}
