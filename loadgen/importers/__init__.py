"""Results that were measured elsewhere, from files. Imports errors, load, analysis and store; writes nothing itself."""
