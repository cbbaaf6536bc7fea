"""What the server and its GPUs reported during a run."""
