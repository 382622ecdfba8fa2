"""The blocks, one a file: knobs, cost formula and module side by side."""
