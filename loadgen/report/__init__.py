"""Pages, charts and exports of what was measured. Reads the store and the analysis; never writes a measurement.

May import everything to its left: load, engine, store, analysis, errors. The web and the command line sit on top.
"""
