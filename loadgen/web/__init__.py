"""The dashboard: what was measured, in a browser. Reads the store; never writes a measurement."""
