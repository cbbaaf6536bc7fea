"""Readings of the GPUs on this host."""
