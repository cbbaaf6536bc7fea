"""HTML pages, for the dashboard and as single files."""
