"""Results that were measured elsewhere, from files."""
