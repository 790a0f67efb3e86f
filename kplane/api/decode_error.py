"""The one error of everything that reads request bodies."""


class DecodeError(ValueError):
    """A body cannot be read; the text is upstream's. Answered with 400."""
