"""The gateway: model calls and reports of agents over HTTP, each under the trajectory it belongs to."""

from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.callers import TRAJECTORY_HEADER

__all__ = ["TRAJECTORY_HEADER", "create_gateway"]
