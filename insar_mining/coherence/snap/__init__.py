"""ESA SNAP as an engine, in the order of a run.

engine (a plan, stage by stage) uses settings (limits, options, the installation), provision (scratch folder,
orbits, geoid and elevation, so that no network is needed), graphs (templates, rendered), check (a graph against
SNAP's operators), gpt (one watched process), dimap (the product of a stage, read and checked) and mapped (the map on
the plan's grid). snappy runs the same graphs in a Python process, doctor examines the machine.
"""
