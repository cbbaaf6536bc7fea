"""Pages, charts and exports of what was measured. Reads the store and the analysis; never writes a measurement.

The web and the command line sit on top.
"""
