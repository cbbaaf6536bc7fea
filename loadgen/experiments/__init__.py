"""Run → sweep: calls the other rooms in order. May import all of them but report, web and cli."""
