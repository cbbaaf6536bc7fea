"""Standard output and error, and what one command knows of its surroundings."""
