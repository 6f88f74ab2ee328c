"""A run: trained, opened again, started from another."""
