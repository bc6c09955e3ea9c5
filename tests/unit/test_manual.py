"""The manual page names every command and option, and is one that man reads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from insar_mining.cli import app

GROFF = shutil.which("groff")


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["manual", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_option_of_every_command_is_in_the_manual() -> None:
    told = {
        entry["name"]: " ".join(words for words, _ in entry["parameters"]) for entry in json.loads(printed("--json"))
    }

    def check(name: str, command: Any) -> int:
        flags = [flag for one in command.params for flag in one.opts if one.param_type_name == "option"]
        assert not [flag for flag in flags if flag not in told[name] and flag != "--help"], name
        context = typer.Context(command)
        inner = command.list_commands(context) if hasattr(command, "list_commands") else ()
        return len(flags) + sum(check(f"{name} {one}", command.get_command(context, one)) for one in inner)

    assert check("insar-mining", get_command(app)) > 100


def test_lines_begin_no_request_by_accident() -> None:
    requests = {line.split()[0] for line in printed().splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".nf", ".fi"}


@pytest.mark.skipif(GROFF is None, reason="no groff on this machine")
def test_man_reads_the_page_without_a_warning() -> None:
    assert GROFF is not None
    done = subprocess.run(
        [GROFF, "-man", "-ww", "-Tascii"], input=printed(), capture_output=True, text=True, check=True
    )
    assert not done.stderr
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert "insar-mining portfolio run" in plain
    assert "--keep-scenes" in plain
