"""Thin Flax Linen modules around the pure functions."""
