"""Checks of an agent behind HTTP: what can be seen of it from the gateway, and what cannot."""
