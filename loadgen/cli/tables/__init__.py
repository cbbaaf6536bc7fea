"""Results, plans and profiles as tables for a terminal."""
