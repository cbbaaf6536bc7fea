"""Run → sweep: calls the other rooms in order."""
