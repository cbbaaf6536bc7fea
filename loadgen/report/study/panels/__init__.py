"""Panels of a study: the marks of each series, their charts with the roofline bound, and the values behind them."""
