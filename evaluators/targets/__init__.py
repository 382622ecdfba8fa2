"""The targets, one a file: a device and the runtime that drives it."""
