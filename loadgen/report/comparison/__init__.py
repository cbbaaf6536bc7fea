"""Sweeps and runs beside each other on one page: each figure along anything that they differ in, against a baseline.

Everything that is chosen stands in the address (`view`), so that a link shows the same again. From the runs that are chosen
(`selection`) and what they differ in (`dimensions`) come cells (`cells`), of which charts (`cell_charts`), tables (`table`) and the page (`page`) are made.
"""
