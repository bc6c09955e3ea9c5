"""`doctor` finds what is there, says what is not and how to mend it; `graph` shows, fills in and checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.snap import doctor


def states() -> dict[str, doctor.Examination]:
    return {e.name: e for e in doctor.examine()}


def test_an_installed_snap_is_described(snap_home: Path) -> None:
    found = states()
    assert found["SNAP"].state == "ok"
    assert "13.0.4" in found["SNAP"].found
    assert "SNAP_HOME" in found["SNAP"].found
    assert found["SNAP toolboxes"].state == "ok"
    assert found["graphs"].state == "ok"
    assert "2048 MiB of heap" in found["memory"].found
    assert found["PROJ data"].state == "ok"
    assert found["GDAL"].state == "ok"


def test_what_is_missing_is_advice_and_what_is_wrong_is_a_fault(snap_home: Path, monkeypatch, tmp_path: Path) -> None:
    gpt = snap_home / "bin" / "gpt"
    gpt.write_text("#!/bin/sh\necho '  Read   x'\n")
    assert states()["SNAP toolboxes"].state == "fault"
    assert "does not list Apply-Orbit-File, Back-Geocoding" in states()["SNAP toolboxes"].found
    (snap_home / "VERSION.txt").write_text("9.0.0")
    assert states()["SNAP"].state == "advice"
    monkeypatch.setenv("SNAP_HOME", str(tmp_path / "none"))
    assert "holds no bin/gpt" in states()["snap"].found
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "FAULT" in result.stdout
    monkeypatch.delenv("SNAP_HOME")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("insar_mining.coherence.snap.settings.USUAL_PLACES", ())
    assert states()["SNAP"].state == "advice"


def test_the_fortran_library_is_looked_for(snap_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "loads", lambda library: library != "libgfortran.so.5")
    found = states()["libgfortran.so.5"]
    assert (found.state, "libgfortran5" in found.remedy) == ("fault", True)
    monkeypatch.setattr(doctor, "loads", lambda library: True)
    assert states()["libgfortran.so.5"].state == "ok"
    monkeypatch.undo()
    assert not doctor.loads("libno-such-thing.so.5")


def test_a_snap_that_does_not_say_its_version_is_unknown(snap_home: Path) -> None:
    """Without VERSION.txt the diagnosis may name Java's version alone."""
    (snap_home / "VERSION.txt").unlink()
    gpt = snap_home / "bin" / "gpt"
    gpt.write_text("#!/bin/sh\necho 'SNAP home: /opt/snap'\necho 'Java version: 21.0.5'\n")
    found = states()["SNAP"]
    assert found.state == "advice"
    assert found.found.startswith("unknown")
    assert "21" not in found.found


def test_credentials_are_found_and_never_shown(snap_home: Path, monkeypatch, tmp_path: Path) -> None:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    assert states()["credentials"].state == "advice"
    path.write_text("machine urs.earthdata.nasa.gov login somebody password hush\n")
    path.chmod(0o600)
    found = states()["credentials"]
    assert found.state == "ok"
    assert "hush" not in found.found
    assert "somebody" not in found.found
    monkeypatch.setenv("EARTHDATA_TOKEN", "hush")
    assert "hush" not in states()["credentials"].found


def test_doctor_speaks_json(snap_home: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert {"name", "state", "found", "remedy"} == set(json.loads(result.stdout)[0])


def test_graph_check_names_node_and_line(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["graph", "check"]).exit_code == 0
    text = CliRunner().invoke(app, ["graph", "show", "subset"]).stdout
    bad = tmp_path / "subset.xml"
    bad.write_text(text.replace("fullSwath", "fullSwat"))
    result = CliRunner().invoke(app, ["graph", "check", str(bad), "--snap", "14"])
    assert result.exit_code == 1
    line = next(n for n, row in enumerate(bad.read_text().splitlines(), 1) if "fullSwat>" in row)
    assert f"{bad}:{line}: SNAP 14: Subset: " in result.stdout
    assert "did you mean 'fullSwath'" in result.stdout
    by_folder = CliRunner().invoke(app, ["graph", "check", "--folder", str(tmp_path), "--json"])
    assert [f["line"] for f in json.loads(by_folder.stdout)] == [line, line]


def test_graph_render_fills_in_and_refuses(tmp_path: Path) -> None:
    values = ["--set", "source=a.dim", "--set", "region=POINT (0 0)", "--set", "target=t.dim"]
    shown = CliRunner().invoke(app, ["graph", "render", "subset", *values])
    assert "<geoRegion>POINT (0 0)</geoRegion>" in shown.stdout
    out = tmp_path / "g.xml"
    assert CliRunner().invoke(app, ["graph", "render", "subset", *values, "-o", str(out)]).exit_code == 0
    assert out.read_text() == shown.stdout
    for wrong in (["subset"], ["subset", "--set", "source"], ["none", *values], ["subset", *values, "--snap", "12"]):
        result = CliRunner().invoke(app, ["graph", "render", *wrong])
        assert result.exit_code == 1, wrong
        assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("name", ["show", "render", "run", "check"])
def test_graph_commands_explain_themselves(name: str) -> None:
    assert "Usage" in CliRunner().invoke(app, ["graph", name, "--help"]).stdout
