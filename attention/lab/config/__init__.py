"""The keys of a config: schema, flags, suggestions."""
