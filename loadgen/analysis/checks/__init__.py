"""The checks that decide whether a run can be trusted.

Each is pure: the spec, the summary and the thresholds in; an observation, or None, out.
"""
