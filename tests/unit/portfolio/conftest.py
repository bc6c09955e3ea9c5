"""The run with a double as its engine, which the tests of the pipeline made."""

from tests.unit.pipeline.conftest import bench as bench
