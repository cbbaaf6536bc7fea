"""Studies carried out: planned, run on servers, predicted."""
