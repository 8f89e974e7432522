"""`python -m ganhash_cli` is `ganhash`."""

from ganhash_cli.app import main

main()
