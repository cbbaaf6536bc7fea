"""Results as CSV, JSON, Parquet and the formats of other tools."""
