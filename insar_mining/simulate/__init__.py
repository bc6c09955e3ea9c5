"""Simulate scenes of known truth under real orbits: complete products whose coherence is known."""

from insar_mining.simulate.demo import DemoScene, write_demo
from insar_mining.simulate.ground import MapFunction, ZoneMap, raster, uniform, zones
from insar_mining.simulate.scene import Acquisition, Settings
from insar_mining.simulate.stack import SimulatedPair, SimulatedStack, simulate_pair, simulate_stack
from insar_mining.simulate.templates import Template, load_template, morocco_template
from insar_mining.simulate.terrain import Terrain, flat, hills, open_pit, ramp, terrain_from_dem, write_dem

__all__ = [
    "Acquisition",
    "DemoScene",
    "MapFunction",
    "Settings",
    "SimulatedPair",
    "SimulatedStack",
    "Template",
    "Terrain",
    "ZoneMap",
    "flat",
    "hills",
    "load_template",
    "morocco_template",
    "open_pit",
    "ramp",
    "raster",
    "simulate_pair",
    "simulate_stack",
    "terrain_from_dem",
    "uniform",
    "write_dem",
    "write_demo",
    "zones",
]
