"""Which architecture to try next, where to run it, what to keep."""
