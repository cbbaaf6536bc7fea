"""The checks that decide whether a run can be trusted."""
