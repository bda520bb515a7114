"""The recipe: every setting of a run once, with its type, range, default and help; YAML in and out.

>>> recipe = load_recipe("desk.yaml", ["learning_rate=1e-5", "rl.loss_fn=cispo"])
>>> recipe.clip_high_threshold
6.0
>>> [row.key for row in explain(recipe) if row.source == "override"]
['loss_fn', 'learning_rate']
"""

from practicum.recipe.explain import Row, explain
from practicum.recipe.loading import build_recipe, load_recipe
from practicum.recipe.model import BUILTIN, Recipe

__all__ = ["BUILTIN", "Recipe", "Row", "build_recipe", "explain", "load_recipe"]
