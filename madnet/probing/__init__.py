"""How a detector behaves when one thing at a time is changed: real frames, and targets planted in them."""
