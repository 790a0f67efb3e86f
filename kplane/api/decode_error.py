"""The one error of everything that reads request bodies."""


class DecodeError(ValueError):
    """A body cannot be read; the text is upstream's. Answered with 400."""


MAX_CONTAINERS = 100_000
"""Objects and lists in one body. A body is limited to 3 MiB, which may hold a million empty ones: each costs
a hundred times its bytes in memory and time."""


def too_complex() -> DecodeError:
    return DecodeError(f"the body holds more than {MAX_CONTAINERS} objects and lists")
