"""The gateway: model calls and reports of agents over HTTP, each under the trajectory it belongs to."""

from practicum.rollout.gateway.app import create_gateway

__all__ = ["create_gateway"]
