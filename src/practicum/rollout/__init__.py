"""From a task to a trajectory: sessions, agents, the dispatcher and the rollout server."""
