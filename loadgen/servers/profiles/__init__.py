"""Server profiles: what is served, with what, and what it needs."""
