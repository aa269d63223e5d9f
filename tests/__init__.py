"""A package by name, for one of our dependencies installs a top-level `tests` of its own."""
