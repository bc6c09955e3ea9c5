"""``insar-mining verify``: whether everything in a folder is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insar_mining.cli import parameters
from insar_mining.cli.speech import print_table, speech_of
from insar_mining.errors import ArchiveError

app = parameters.new_app()


@app.command()
def verify(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder that files were fetched or copied to, or of a result.")],
    as_json: parameters.Json = False,
) -> None:
    """Check every file of a folder: its checksum if one is known, else its structure."""
    from insar_mining.download.verify import verify_folder
    from insar_mining.pipeline.stac import recorded_checksums

    with speech_of(ctx).progress() as progress:
        table = verify_folder(folder, progress=progress, recorded=recorded_checksums(folder))
    print_table(table, as_json=as_json, title=f"{len(table)} files and products in {folder}")
    bad = table[table["state"] == "damaged"]
    if len(bad):
        raise ArchiveError(f"{len(bad)} of {len(table)} are damaged, the first: {bad['file'].iloc[0]}")
