"""Add results, notebooks, the changelog, the Python page and pictures to the documentation site."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import figures
import licences
import notebook_pages
import tasks

logger = logging.getLogger("mkdocs.hooks.tasks")

ROOT = Path(__file__).parents[2]

# what the theme would load from a host: https://github.com/squidfunk/mkdocs-material (templates/base.html)
SHIM = "https://unpkg.com/iframe-worker/shim"

# public names in the order of the job, as the Python page shows them
GROUPS = {
    "Mines and scenes": ("read_mines", "mine_from_geometry", "Mine", "search", "scan_products", "select_pairs"),
    "Coherence": ("make_plan", "CoherencePlan", "Window", "coherence", "corrected_mean"),
    "Activity": (
        *("open_stack", "stable_points", "iterate_stable", "filter_scenes", "ndai", "annual_ndai"),
        *("rgb_composite", "classify", "activity_table"),
    ),
    "Whole jobs": ("run", "analyse", "Result", "RunOptions"),
    "Errors and warnings": ("InsarMiningError", "InsarMiningWarning", "strict"),
}
# the folder `coherence` can be called; its function is defined here
HOMES = {"coherence": "insar_mining.coherence.engine.coherence"}


def api_page() -> str:
    """Write the page of all public names, grouped by step."""
    lines = ["# Python", "", "All names of the package's top level; each is one step of the job.", ""]
    for group, names in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in names:
            lines += [f"::: {HOMES.get(name, f'insar_mining.{name}')}", ""]
    return "\n".join(lines)


def command_page() -> str:
    """Write the page of all commands: what each prints with --help."""
    from typer.testing import CliRunner

    from insar_mining.cli import COMMANDS, app

    def text(*words: str) -> str:
        return CliRunner().invoke(app, [*words, "--help"], prog_name="insar-mining", env={"COLUMNS": "100"}).stdout

    lines = ["# Command line", "", "```text", text().strip(), "```", ""]
    for name in COMMANDS:
        lines += [f"## {name}", "", "```text", text(name).strip(), "```", ""]
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages and files from outside of docs/."""
    pages: dict[str, str | bytes] = {
        "api.md": api_page(),
        "cli.md": command_page(),
        "licences.md": licences.licences_page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
    }
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
        pages[f"results/{path.name}"] = path.read_text("utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages |= notebook_pages.pages_of(path, execute=bool(config.extra["execute_notebooks"]))
    pages |= {f"figures/{name}": content for name, content in figures.draw_all().items()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turn links that are right in the repository into links that are right in the site."""
    if page.file.src_uri.startswith("notebooks/"):
        return re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](\1.md)", markdown).replace("](../docs/", "](../")
    if page.file.src_uri.startswith("results/"):
        return re.sub(r"\]\((?:\.\./)+docs/", "](../", markdown)
    markdown = re.sub(r"\]\(\.\./benchmarks/results/", "](results/", markdown)
    return re.sub(r"\]\((?:\.\./)?notebooks/([\w-]+)\.ipynb", r"](notebooks/\1.md", markdown)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """Load the script that lets search work from a file from the site itself."""
    return output.replace(SHIM, "../" * page.url.count("/") + "assets/iframe-worker.js")


def on_post_template(output_content: str, **_: Any) -> str:
    """Do the same for pages that are no part of the navigation, such as 404.html."""
    return output_content.replace(SHIM, "assets/iframe-worker.js")


def on_post_build(config: MkDocsConfig) -> None:
    """Warn, which a strict build does not let pass, of tasks that the search does not find."""
    for line in tasks.not_found(Path(config.site_dir) / "search" / "search_index.json"):
        logger.warning(line)
