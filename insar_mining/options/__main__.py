"""Write the documentation page of all options: ``python -m insar_mining.options > docs/options.md``."""

import sys

from insar_mining.options.models import options_page

sys.stdout.write(options_page())
