"""Named spaces and published networks, a space or a family a file."""
