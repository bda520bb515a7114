"""Support desk: read-only lookups, then a verdict that follows the desk's procedure."""

from practicum.suites.support_desk.environment import SupportDesk, reward, score

__all__ = ["SupportDesk", "reward", "score"]
