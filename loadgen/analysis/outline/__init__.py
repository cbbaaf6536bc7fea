"""A run reduced to what its charts need."""
