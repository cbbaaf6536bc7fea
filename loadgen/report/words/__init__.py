"""Facts of runs and sweeps in words."""
