"""The commands: each parses, calls, prints, and ends with an exit code."""
