"""Held-out scores, computed apart from the reward, with their uncertainty."""
