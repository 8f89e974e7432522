"""Built-in generators, one a file."""
