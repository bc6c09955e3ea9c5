"""The steps composed into whole jobs; each step can be called alone."""

from insar_mining.pipeline.inputs import mine_of
from insar_mining.pipeline.jobs import analyse, plan, run
from insar_mining.pipeline.preparation import RunPlan
from insar_mining.pipeline.result import Result
from insar_mining.pipeline.truth import Truth

__all__ = ["Result", "RunPlan", "Truth", "analyse", "mine_of", "plan", "run"]
