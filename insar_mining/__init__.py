"""How much of a mine was worked in each year, from repeat-pass Sentinel-1 coherence.

Every step is a plain function at this level; names load on first use, so that importing
the package, and asking the command line for help, costs nothing.

Examples
--------
>>> import insar_mining
>>> insar_mining.__version__
'0.1.0'
"""

__version__ = "0.1.0"
