"""How a sweep or the start of a server goes, on stderr."""
