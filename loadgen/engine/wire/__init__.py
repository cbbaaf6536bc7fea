"""HTTP over sockets: connections, routes and the framing of responses."""
