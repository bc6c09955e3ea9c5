"""What all operators need: where orbits and heights lie, and what a product remembers of its scenes."""

from __future__ import annotations

import datetime as dt
import json
from functools import lru_cache
from pathlib import Path

from dimap_files import Date, Product, from_utc
from geometry import Elevation, Path3

from insar_mining.sentinel1.product import open_product


class Failure(Exception):
    """What SNAP calls an OperatorException."""


class Context:
    """What operators need besides their sources."""

    def __init__(self, userdir: Path, version: str, orbit_trap: bool = False) -> None:
        self.userdir, self.version, self.orbit_trap = userdir, version, orbit_trap
        self.fourteen = int(version.split(".")[0]) >= 14

    def elevation(self, p: dict[str, str]) -> Elevation:
        if "External DEM" not in p["demName"]:
            raise Failure(f"the network is needed for {p['demName']}")
        return Elevation(Path(p["externalDEMFile"]), float(p["externalDEMNoDataValue"]), self.userdir)


@lru_cache
def annotation(path: str, swath: str, polarisation: str):
    return open_product(path).sub_swath(swath, polarisation)


def origin(swath) -> dt.datetime:
    return dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))


def at(swath, seconds: float) -> dt.datetime:
    return origin(swath) + dt.timedelta(seconds=float(seconds))


def note_of(product: Product, side: str) -> dict:
    return json.loads(product.notes[side])


def way(date: Date, sub) -> Path3:
    middle = from_utc(date.attributes["first_line_time"])
    return Path3(date.vectors, origin(sub), middle)
