"""What a user may ask for: the keys of a sweep, and their checks."""
