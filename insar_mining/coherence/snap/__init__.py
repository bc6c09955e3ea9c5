"""ESA SNAP as an engine: graphs, the catalogue they are checked against, and the processes that run them.

catalogue (what SNAP's operators take) -> check (a graph against it) -> graphs (templates, rendered) -> gpt (one
process) -> dimap (what it left) -> engine (a plan, stage by stage).  Beside them: install (finding SNAP), provision
(orbits, geoid and elevation laid out so that no network is needed) and snappy (the same graphs in process).
"""
