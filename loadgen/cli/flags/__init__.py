"""The flags of the commands, their help screens, and what other tools call them."""
