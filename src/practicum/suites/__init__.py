"""Environments that ship with Practicum, each a package with its recorded fixtures."""
