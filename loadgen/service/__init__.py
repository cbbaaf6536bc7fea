"""The service: sweeps that others ask for over HTTP, measured here one after the other, and the guards that this needs.

It never measures by itself: each job is a process of its own, which runs the same sweep that the command line runs.
"""
