"""What to ask and when: pure data, made before t = 0."""
