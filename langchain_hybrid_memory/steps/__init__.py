"""The steps of a turn and of memorizing, one module each; they know a `BaseStore` and no graph."""
