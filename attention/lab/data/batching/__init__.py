"""From examples to batches of a few shapes."""
