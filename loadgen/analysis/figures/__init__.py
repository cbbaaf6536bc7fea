"""The formulas of the figures."""
