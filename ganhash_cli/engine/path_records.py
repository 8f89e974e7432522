"""Paths as JSON holds them: texts, with their exact bytes where these are not UTF-8."""

import base64
from collections.abc import Mapping


def path_record(path: bytes, key: str = "path") -> dict[str, str]:
    r"""Return a path for JSON; its exact bytes stand beside it in base64 where they are not UTF-8.

    >>> path_record(b"a.png"), path_record(b"\xff")["path_b64"]
    ({'path': 'a.png'}, '/w==')
    """
    try:
        return {key: path.decode()}
    except UnicodeDecodeError:
        return {key: path.decode(errors="replace"), f"{key}_b64": base64.b64encode(path).decode()}


def path_of_record(record: Mapping[str, str], key: str = "path") -> bytes:
    r"""Return the exact bytes of a path from JSON.

    >>> path_of_record(path_record(b"\xff"))
    b'\xff'
    """
    if f"{key}_b64" in record:
        return base64.b64decode(record[f"{key}_b64"])
    return record[key].encode()
