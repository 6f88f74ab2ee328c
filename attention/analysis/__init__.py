"""Numbers about attentions: effective matrices, multiply-adds, memory, growth; no pictures."""
