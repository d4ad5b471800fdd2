"""Versions of the interface between core and SDK."""


def parse_version(version):
    """`'1.5'` as `(1, 5)`; what follows the second number is ignored.

    Raises ValueError for anything else.
    """
    numbers = version.split('.')
    if len(numbers) < 2:
        raise ValueError("'{}' is no version of the form MAJOR.MINOR".format(version))
    return int(numbers[0]), int(numbers[1])
