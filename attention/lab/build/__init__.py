"""From a config to values."""
