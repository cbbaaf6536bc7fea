"""The hot path: send, stamp, record."""
