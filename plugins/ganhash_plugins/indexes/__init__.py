"""Indexes in other programs, one a file."""
