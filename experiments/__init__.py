"""Experiments: each file says its command, its time and the score to expect."""
