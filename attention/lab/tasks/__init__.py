"""One kind of problem a file: its batches, model, loss and score as one value."""
