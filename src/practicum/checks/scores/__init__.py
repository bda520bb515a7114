"""Checks of what judges: the score, the reward, the budget, and the data they are used on. See ``check_judges``."""
