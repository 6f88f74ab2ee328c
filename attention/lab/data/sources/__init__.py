"""Where examples come from: text files, the grammar."""
