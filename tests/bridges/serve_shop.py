"""The shop on stdin and stdout, as a user's own script would serve it: ``serve_shop.py SEED [TASK] [RECORD]``."""

import importlib.util
import json
import sys
from pathlib import Path

from practicum.bridges import serve_stdio

spec = importlib.util.spec_from_file_location("faces_shop", Path(__file__).with_name("shop.py"))
shop = importlib.util.module_from_spec(spec)
sys.modules["faces_shop"] = shop
spec.loader.exec_module(shop)


def record(rollout):
    calls = [[call.name, dict(call.arguments)] for call in rollout.tool_calls]
    Path(sys.argv[3]).write_text(json.dumps([rollout.task.id, calls, shop.score(rollout)]))


seed, task, *rest = [*sys.argv[1:], "", ""][:3]
print("this line goes to stdout before the server begins", file=sys.stderr)
serve_stdio(shop.Shop, task=task or None, seed=int(seed), on_end=record if rest[0] else None)
