"""From active area to production and emissions."""

from insar_mining.emissions.production import emissions, production_from_area, production_rate

__all__ = ["emissions", "production_from_area", "production_rate"]
