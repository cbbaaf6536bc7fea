"""The database of what was measured: sweeps, runs, requests, server samples, GPU readings, environments.

Facts go in once and are never changed; only a sweep's status is.
"""
