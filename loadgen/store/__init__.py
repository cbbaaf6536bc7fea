"""The database of what was measured: sweeps, runs, requests, server samples, environments.

Facts go in once and are never changed; only a sweep's status is. Imports only `engine`, `load` and `errors`.
"""
