"""When requests are sent: drivers, throttling, sessions."""
