"""The event loop that receives bytes with kernel timestamps, its clock and its timers."""
