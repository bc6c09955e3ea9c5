"""Print the lowest versions of libraries that pyproject.toml allows, as constraints of pip."""

import re
import sys
import tomllib
from pathlib import Path

# what the package needs itself; tools of its development are taken as they are
EXTRAS = ("stac", "parquet", "scale")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
groups = [project["dependencies"], *(project["optional-dependencies"].get(extra, []) for extra in EXTRAS)]
for requirement in sorted({requirement for group in groups for requirement in group}):
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement)
    if found is None:
        sys.exit(f"{requirement}: a dependency needs a lower bound that is tested")
    sys.stdout.write(f"{found[1]}=={found[2]}\n")
