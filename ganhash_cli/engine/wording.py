"""Counts, sizes and the faults of files as a person reads them."""

MISSING = "missing"

_SCALES = {"GB": 1e9, "MB": 1e6, "kB": 1e3}


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, in the plural where it is not one.

    >>> counted(1, "group"), counted(0, "group"), counted(1200, "query", "queries")
    ('1 group', '0 groups', '1,200 queries')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def fault(error: OSError) -> str:
    """Return why a file cannot be had; of one that is not there, the one word that stands for it everywhere.

    >>> fault(FileNotFoundError(2, "No such file or directory")), fault(PermissionError(13, "Permission denied"))
    ('missing', 'Permission denied')
    """
    return MISSING if isinstance(error, FileNotFoundError) else error.strerror or str(error)


def size(count: float) -> str:
    """Return so many bytes in the largest unit of which there is one.

    >>> size(1), size(34_567), size(999_949), size(2_340_000_000)
    ('1 byte', '34.6 kB', '999.9 kB', '2.3 GB')
    """
    for unit, scale in _SCALES.items():
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return counted(int(count), "byte")
