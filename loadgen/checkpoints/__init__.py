"""Checkpoints of Mixture-of-Experts models, read, sliced and written as raw bytes."""
