"""Named spaces, one a file."""
