"""Starts the command line, also as `python -m ganhash_cli`; Ctrl+C while it still loads ends it as quietly as later."""

import sys


def main() -> None:
    """Load and run the command line; always ends in `SystemExit`."""
    try:
        from ganhash_cli import app
    except KeyboardInterrupt:
        sys.exit(130)
    app.main()


if __name__ == "__main__":
    main()
