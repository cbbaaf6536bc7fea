"""What users write, in flags and in YAML files, and where each value stands, so that a message can point at it."""
