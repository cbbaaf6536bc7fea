"""The commands `loadgen moe …`, one module each."""
