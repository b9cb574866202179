"""One module a model call: the text we send and the answer we expect back."""
