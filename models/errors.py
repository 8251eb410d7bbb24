"""The error for a setting, an input or a file that a network or its training cannot use."""


class ModelError(ValueError):
    """Names the thing, its value, what was expected and the remedy, in one line."""
