"""Playing a public benchmark as an agent does."""

from played_episode import begun, solved

__all__ = ["begun", "solved"]
