"""Plugins: what they must look like, how they are found, and how their options are read."""
