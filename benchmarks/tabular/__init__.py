"""A small space of all six families, trained once: searches on it are replayed in seconds."""
