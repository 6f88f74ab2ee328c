"""Multi-head attention around any Attention, and what it is made of."""
