"""Data: reading parallel text, tokenizing it and making batches of constant shapes."""
