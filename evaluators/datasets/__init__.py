"""Data sets: one published format a file; `_folder` and `_npz` read the user's own."""
