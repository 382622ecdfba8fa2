"""Training-free scores, one a file."""
