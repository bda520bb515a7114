"""Started once per test session by path: imports Practicum, then forks a child for every command it is sent.

A child is a process like any other, with its own locks and signals, that did not have to spend seconds on imports.
Orders and answers are JSON lines on standard input and output.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

import torch  # noqa: E402

import practicum.checks.environment  # noqa: E402
import practicum.commands  # noqa: E402
import practicum.commands.pipeline  # noqa: E402
import practicum.commands.serve  # noqa: E402
import practicum.monitor.mlflow_store  # noqa: E402


def serve() -> None:
    """Carry out orders until standard input ends."""
    torch.set_num_threads(1)
    children = set[int]()
    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "wait" in order:
            status = _status(order["wait"], order["seconds"])
            if status["code"] is not None:
                children.discard(order["wait"])
            print(json.dumps(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            _become(order)
        children.add(child)
        print(json.dumps({"pid": child}), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _become(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    for number, name in ((1, "out"), (2, "err")):
        target = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["practicum", *order["arguments"]]
    code: Any = 0
    try:
        exec(compile(order["first"], "<first>", "exec"), {})
        practicum.commands.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _status(pid: int, seconds: float) -> dict[str, int | None]:
    """Exit code of a child, negative for the signal that killed it; None while it runs."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return {"code": os.waitstatus_to_exitcode(status)}
        if time.monotonic() >= until:
            return {"code": None}
        time.sleep(0.01)


if __name__ == "__main__":
    serve()
