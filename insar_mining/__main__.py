"""``python -m insar_mining`` is ``insar-mining``."""

from insar_mining.cli import main

if __name__ == "__main__":
    main()
