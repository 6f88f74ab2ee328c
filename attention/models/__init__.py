"""Models built from the modules."""
