"""What one architecture is worth: accuracy and latency, measured."""
