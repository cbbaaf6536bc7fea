"""Which runs a page, chart or export is about."""
