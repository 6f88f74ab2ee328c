"""How good what a model wrote is."""
