"""The client's own error on this host."""
