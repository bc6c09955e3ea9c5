"""``python -m insar_mining`` is ``insar-mining``; the console script starts here too.

Little is imported before signals are caught: an interrupt while the rest is imported ends as orderly as any other.
"""

from __future__ import annotations

import sys

from insar_mining.ends import main_of


def _run() -> object:
    from insar_mining.cli import command_line

    return command_line()


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(main_of(_run))


if __name__ == "__main__":
    main()
