"""An engine in virtual time: how long its steps take, and when each token of each request arrives."""
