"""What users and their files rely on: it may grow, and nothing of it may go, change its name or its default.

The snapshots in ``tests/data/contracts`` were written by the code before its folders were rearranged."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import typer
from shapely.geometry import box, mapping
from typer.main import get_command

import insar_mining
from insar_mining.cli import COMMANDS, app
from insar_mining.coherence.plan.matching import BurstPair
from insar_mining.coherence.plan.model import CoherencePlan, Window
from insar_mining.coherence.plan.product import stac_item, tags
from insar_mining.coherence.plan.recipe import Recipe
from insar_mining.coherence.plan.values import Elevation, Estimation, PairGeometry, PlannedScene, PlanScenes
from insar_mining.files import write_text
from insar_mining.geo.grid import MapGrid
from insar_mining.geo.raster import write_cog
from insar_mining.options.models import AnalyseOptions, RunOptions, default_of, fields_of, limits_of
from insar_mining.pipeline import analyse, result

SNAPSHOTS = Path(__file__).parents[1] / "data" / "contracts"

GRID = MapGrid.around(box(-8.79, 31.79, -8.78, 31.80))
YEARS = (2021, 2022, 2023)


def snapshot(name: str) -> Any:
    return json.loads((SNAPSHOTS / f"{name}.json").read_text("utf-8"))


def plain(value: object) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


# the command line --------------------------------------------------------------------------------------------------


@functools.cache
def commands() -> dict[str, dict[str, Any]]:
    """Parameters of every command by the command's full name."""
    command = get_command(app)
    return dict(walk("insar-mining", command, typer.Context(command)))


def walk(name: str, command: Any, context: typer.Context) -> Iterator[tuple[str, dict[str, Any]]]:
    yield name, {str(parameter.name): described(parameter) for parameter in command.params}
    for inner in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from walk(f"{name} {inner}", command.get_command(context, inner), context)


def described(parameter: Any) -> dict[str, Any]:
    """What a call of a command rests on."""
    return {
        "flags": sorted([*parameter.opts, *parameter.secondary_opts]),
        "kind": parameter.param_type_name,
        "required": parameter.required,
        "takes": parameter.nargs,
        "repeats": getattr(parameter, "multiple", False),
        "switch": getattr(parameter, "is_flag", False),
        "default": default_of_parameter(parameter),
    }


def default_of_parameter(parameter: Any) -> str | None:
    """What holds without the parameter, as text: its own default, or in its help that of the option it sets."""
    told = re.search(r"\(default ([^()]*)\)", getattr(parameter, "help", None) or "")
    value = str(parameter.default or (told[1] if told else None))
    return None if value in ("None", "False", "0") else value


@pytest.mark.parametrize("command", sorted(snapshot("commands")))
def test_every_command_keeps_its_options(command: str) -> None:
    now = commands()[command].values()
    for was in snapshot("commands")[command].values():
        (same,) = (one for one in now if set(was["flags"]) <= set(one["flags"]))
        assert {**same, "flags": was["flags"]} == was


def test_the_snapshot_of_commands_holds_them_all() -> None:
    assert {f"insar-mining {name}" for name in ("run", "analyse", "coherence", "graph show")} <= set(
        snapshot("commands")
    )
    assert {f"insar-mining {name}" for name in COMMANDS} <= set(commands())


# options -----------------------------------------------------------------------------------------------------------


def options() -> dict[str, dict[str, dict[str, str | None]]]:
    """Default and limits of every option by its dotted name."""
    return {
        model.__name__: {path: {"default": default(model, path), "limits": limits(model, path)} for path in paths}
        for model in (RunOptions, AnalyseOptions)
        for paths in [[path for path, _ in fields_of(model)]]
    }


def owner(model: Any, path: str) -> Any:
    for section in path.split(".")[:-1]:
        model = model.model_fields[section].annotation
    return model


def default(model: Any, path: str) -> str | None:
    return default_of(owner(model, path), path.split(".")[-1])


def limits(model: Any, path: str) -> str:
    return limits_of(dict(fields_of(model))[path])


@pytest.mark.parametrize("model", ["RunOptions", "AnalyseOptions"])
def test_options_keep_their_keys_defaults_and_limits(model: str) -> None:
    now = options()[model]
    was = snapshot("options")[model]
    assert {path: now.get(path) for path in was} == was


# names -------------------------------------------------------------------------------------------------------------


def names() -> list[str]:
    return list(insar_mining.__all__)


def test_public_names_load() -> None:
    for name in snapshot("names"):
        assert name in insar_mining.__all__
        getattr(insar_mining, name)


# files of a result -------------------------------------------------------------------------------------------------


def write_maps(folder: Path) -> Path:
    """Three years of four pairs: stable ground in the west, worked ground in the east of the first two."""
    rng = np.random.default_rng(5)
    height, width = GRID.shape
    for year in YEARS:
        for first in pd.date_range(f"{year}-01-05", periods=4, freq="12D"):
            values = rng.normal(0.9, 0.02, (height, width))
            if year != YEARS[-1]:
                values[: height // (2 if year == YEARS[0] else 1), width // 2 :] = 0.3
            dates = (first, first + pd.Timedelta(days=12))
            write_cog(
                folder / f"{dates[0]:%Y%m%d}_{dates[1]:%Y%m%d}.tif",
                values.clip(0, 1).astype(np.float32),
                crs=GRID.crs,
                transform=GRID.transform,
                names=["coherence"],
                tags={"PERPENDICULAR_BASELINE_M": "20"},
            )
    return folder


def files_of(folder: Path, method: str) -> dict[str, Any]:
    """Names of the files of a result; columns of its tables, bands and tags of its rasters."""
    (folder / "maps").mkdir(exist_ok=True)
    mine = folder / "mine.geojson"
    mine.write_text(json.dumps(mapping(box(*GRID.bounds_lonlat()).buffer(-0.0005))), encoding="utf-8")
    out = folder / method
    analyse(write_maps(folder / "maps"), mine, out=out, method=method)
    return {path.name: content(path) for path in sorted(out.iterdir()) if not path.name.startswith(".")}


def content(path: Path) -> dict[str, list[str]]:
    if path.suffix == ".csv":
        return {"columns": list(pd.read_csv(path).columns)}
    if path.suffix == ".tif":
        with rasterio.open(path) as source:
            return {"bands": [str(name) for name in source.descriptions], "tags": sorted(source.tags())}
    if path.suffix == ".json":
        return {"keys": sorted(json.loads(path.read_text("utf-8")))}
    return {}


@pytest.mark.parametrize("method", ["significant", "published"])
def test_a_result_keeps_its_files_columns_bands_and_tags(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "write_report", lambda path, _: write_text(path, "a report"))
    now = files_of(tmp_path, method)
    for name, was in snapshot("files")[method].items():
        assert name in now, name
        for kind, said in was.items():
            assert [one for one in now[name][kind] if one in said] == said, (name, kind)


# maps --------------------------------------------------------------------------------------------------------------


def fixed_plan(out: Path) -> CoherencePlan:
    """A plan of which every value is given here."""
    reference = PlannedScene(Path("a.SAFE"), "S1A_A", "aa", "2023-09-04", "S1A")
    secondary = PlannedScene(Path("b.SAFE"), "S1A_B", "bb", "2023-09-16", "S1A", Path("b.EOF"), "cc")
    bursts = (BurstPair("IW1", 3, 4, 3), BurstPair("IW2", 5, 5, 5))
    return CoherencePlan(
        scenes=PlanScenes(reference, secondary, reference, "VV", 52, "descending"),
        grid=GRID,
        elevation=Elevation(Path("dem.tif"), "dd", "auto"),
        geometry=PairGeometry(("IW1", "IW2"), bursts, covered=1.0, perpendicular_baseline_m=28.25),
        estimation=Estimation(Window(2, 7), Recipe(bands=("unbiased", "mask"))),
        out=out,
    )


def identity(plan: CoherencePlan, algorithm: int) -> str:
    """The bytes whose hash decides whether a map is used again, of one version of the algorithm."""
    return json.dumps({**plan.identity(), "algorithm": algorithm}, sort_keys=True)


def test_the_identity_of_a_plan_stays_so_that_no_map_is_made_again(tmp_path: Path) -> None:
    was = snapshot("plan")
    plan = fixed_plan(tmp_path / "map.tif")
    text = identity(plan, was["algorithm"])
    assert text == was["identity"]
    assert hashlib.sha256(text.encode()).hexdigest() == was["sha256"]
    own = hashlib.sha256(json.dumps(plan.identity(), sort_keys=True).encode()).hexdigest()
    assert plan.sha256 == own
    assert dataclasses.replace(plan, out=tmp_path / "elsewhere.tif").sha256 == own


def described_map(folder: Path) -> dict[str, Any]:
    """Tags of a map, keys of its STAC item, and fields of a plan that is printed."""
    plan = fixed_plan(folder / "map.tif")
    plan.out.write_bytes(b"a map")
    written = tags(plan, "builtin", "1")
    item = plain(stac_item(plan, plan.out, written))
    return {
        "tags": {name: value for name, value in written.items() if name not in ("PLAN_SHA256", "SOFTWARE")},
        "item": sorted(item),
        "properties": sorted(item["properties"]),
        "assets": {name: sorted(asset) for name, asset in item["assets"].items()},
        "described": sorted(plan.describe()),
    }


def test_a_map_keeps_its_tags_and_the_keys_of_its_item(tmp_path: Path) -> None:
    was, now = snapshot("map"), described_map(tmp_path)
    assert {name: now["tags"].get(name) for name in was["tags"]} == was["tags"]
    for kind in ("item", "properties", "described"):
        assert set(was[kind]) <= set(now[kind]), kind
    for name, keys in was["assets"].items():
        assert set(keys) <= set(now["assets"][name])


# calls in the documentation ----------------------------------------------------------------------------------------

CALLS = {
    "read_mines": (["path"], {}),
    "search": (["mine", "start", "end"], {}),
    "select_pairs": (["scenes"], {"max_perp_baseline_m": 250, "temporal_baseline_days": (12, 24)}),
    "make_plan": (["reference", "secondary"], {"area": 0, "dem": 0, "out": 0, "polarisation": "VV", "swaths": ["IW1"]}),
    "open_stack": (["folder"], {"mine": None}),
    "stable_points": (["coh"], {"mean_min": 0.8, "std_max": 0.2}),
    "filter_scenes": (["coh", "stable"], {"mean_min": 0.8, "std_max": 0.2}),
    "ndai": (["coh", "stable"], {}),
    "annual_ndai": (["index"], {}),
    "rgb_composite": (["annual", "years"], {"ceiling": 0.45}),
    "classify": (["annual"], {"black_below": 0.1}),
    "activity_table": (["classes"], {}),
    "run": (["mine", "start", "end"], {"out": "x", "scenes": "s", "dem": "d", "engine": "snap", "method": "published"}),
    "analyse": (["folder", "mine"], {"out": "x", "years": (2021,), "method": "published"}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CALLS))
def test_documented_calls_are_taken(name: str) -> None:
    positional, named = CALLS[name]
    inspect.signature(getattr(insar_mining, name)).bind(*positional, **named)


def write_snapshots(folder: Path) -> None:
    """Write what the code gives now."""
    folder.mkdir(exist_ok=True, parents=True)
    work = folder / "work"
    work.mkdir()
    plan = fixed_plan(work / "plan.tif")
    algorithm = importlib.import_module(CoherencePlan.__module__).ALGORITHM
    text = identity(plan, algorithm)
    made = {
        "commands": commands(),
        "options": options(),
        "names": names(),
        "files": {method: files_of(work, method) for method in ("significant", "published")},
        "map": described_map(work),
        "plan": {"algorithm": algorithm, "sha256": hashlib.sha256(text.encode()).hexdigest(), "identity": text},
    }
    for name, content_ in made.items():
        text = json.dumps(content_, indent=1, ensure_ascii=False, default=str)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
