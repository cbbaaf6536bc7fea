"""What to ask and when: pure data, made before t = 0. Imports no other room."""
