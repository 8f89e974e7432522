"""Refuses sizes of which no network can be built."""


def require_positive(**sizes: int) -> None:
    """Raise `ValueError`, with a hint behind its message, where one of the named sizes is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size} is below 1", f"leave {name} out for its default, or give a larger one")
