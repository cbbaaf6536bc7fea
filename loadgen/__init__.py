"""loadgen: load generation that measures the server, not itself."""

__version__ = "0.1.0"
