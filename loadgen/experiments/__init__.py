"""A run, a sweep, a search, a group of sweeps, a plan: carried out in order."""
