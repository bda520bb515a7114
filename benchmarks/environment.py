"""What an environment costs: `python benchmarks/environment.py` (about two minutes on two cores).

Prints, each measured here and now: episodes and tool calls per second of each suite, played by its oracle; time per
call and memory per open episode with 1, 64 and 1,024 episodes interleaved; our layer against the bare function; the
same tool calls through another public framework's tool loop (`pip install verifiers`, in an environment of its own);
and the start of a sandboxed Python.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from practicum.environment import Environment
from practicum.environment.play import OracleSteps
from practicum.environment.target import load_target
from practicum.sandbox import run_python, sandbox_kind
from practicum.tasks import Task

SUITES = {
    "support_desk": {"level": 2},
    "warehouse": {},
    "sql_analyst": {},
    "code_repair": {},
}
SECONDS = 3.0
"""Time given to each figure."""
REPEATS = 7
BATCH = 50
"""Calls measured together, so that an event loop's start is nobody's cost."""
OPEN = (1, 64, 1024)


def main() -> None:
    """Print every figure."""
    print(f"python {sys.version.split()[0]}, sandbox: {sandbox_kind()}\n")
    print("| suite | episodes/s | tool calls/s | ms per episode |")
    print("| --- | --- | --- | --- |")
    for name, args in SUITES.items():
        episodes, calls, seconds = played(name, args)
        each = f"{1000 * seconds / episodes:.2f}"
        print(f"| {name} | {episodes / seconds:,.0f} | {calls / seconds:,.0f} | {each} |", flush=True)
    print("\n| suite | open episodes | µs per call | KiB per open episode |")
    print("| --- | --- | --- | --- |")
    for name in ("support_desk", "warehouse", "sql_analyst"):
        for count in OPEN:
            micros, kib = interleaved(name, SUITES[name], count)
            print(f"| {name} | {count:,} | {micros:.0f} | {kib:.0f} |", flush=True)
    layer()
    sandbox()


def played(name: str, args: dict[str, Any]) -> tuple[int, int, float]:
    """Episodes, calls and seconds of the oracle on a suite, one episode after another."""
    target = load_target(name, args)
    tasks = target.tasks("train")
    environment = target.make()
    episodes = calls = 0
    began = time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS:
        for _ in steps(environment, tasks[episodes % len(tasks)], episodes):
            calls += 1
        environment.close()
        episodes += 1
    return episodes, calls, seconds


def steps(environment: Environment, task: Task, seed: int) -> Iterator[None]:
    """The oracle's episode, one call at a time; the environment stays open."""
    environment.reset(task, seed)
    for _ in OracleSteps(environment.oracle(task), task).played_on(environment):
        yield


def interleaved(name: str, args: dict[str, Any], count: int) -> tuple[float, float]:
    """Microseconds per call with ``count`` episodes taking turns, and resident KiB per open one."""
    target = load_target(name, args)
    tasks = target.tasks("train")
    environments = [target.make() for _ in range(count)]
    gc.collect()
    before = resident()
    playing = [steps(each, tasks[number % len(tasks)], number) for number, each in enumerate(environments)]
    calls, began = 0, time.perf_counter()
    first = True
    memory = 0
    while playing:
        alive = []
        for episode in playing:
            if next(episode, ...) is not ...:
                alive.append(episode)
                calls += 1
        if first:
            memory, first = resident() - before, False
        playing = alive
    seconds = time.perf_counter() - began
    for each in environments:
        each.close()
    return 1e6 * seconds / max(calls, 1), memory / count / 1024


def layer() -> None:
    """Our call against the bare function, and against another framework's, on the same arguments."""
    target = load_target("support_desk", {"level": 2})
    environment = target.make()
    task = target.tasks("train")[0]
    arguments = json.dumps({"ticket_id": task.prompt.removeprefix("Handle ticket ").rstrip(".")})
    environment.reset(task, 0)
    table = environment.fixture("tickets")

    def get_ticket(ticket_id: str) -> str:
        """a ticket's account, topic, severity"""
        return json.dumps(dict(table[ticket_id]))

    def bare() -> None:
        for _ in range(BATCH):
            get_ticket(**json.loads(arguments))

    def ours() -> None:
        for _ in range(BATCH):
            environment.call("get_ticket", json.loads(arguments))
        environment.__dict__["transitions"] = ()  # episodes are short: the log must not grow without end

    rivals = {"the bare function": bare, "Practicum: checked, logged, digested": ours}
    figures = measured(rivals | other_framework(get_ticket, arguments))
    print("\n| one tool call | µs | ratio to the bare function |")
    print("| --- | --- | --- |")
    for name, micros in figures.items():
        print(f"| {name} | {micros:.1f} | {micros / figures['the bare function']:.1f} |")
    environment.close()


def measured(rivals: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median microseconds per call of each, in turns within one run."""
    found: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(REPEATS):
        for name, batch in rivals.items():
            number, began = 0, time.perf_counter()
            while time.perf_counter() - began < SECONDS / REPEATS:
                batch()
                number += BATCH
            found[name].append(1e6 * (time.perf_counter() - began) / number)
    return {name: statistics.median(micros) for name, micros in found.items()}


def other_framework(function: Callable[..., str], arguments: str) -> dict[str, Callable[[], None]]:
    """The same call through `verifiers`' ToolEnv, if it is installed."""
    try:
        import verifiers
        from datasets import Dataset
        from verifiers.types import AssistantMessage, ToolCall
    except ImportError:
        print("\n(verifiers is not installed: no comparison with another framework)")
        return {}
    environment = verifiers.ToolEnv(
        tools=[function], dataset=Dataset.from_list([{"question": "q", "answer": "a"}]), rubric=verifiers.Rubric()
    )
    asked = AssistantMessage(content="", tool_calls=[ToolCall(id="c1", name=function.__name__, arguments=arguments)])
    loop = asyncio.new_event_loop()

    async def batch() -> None:
        for _ in range(BATCH):
            await environment.env_response([asked], {})

    name = f"verifiers {verifiers.__version__}: ToolEnv.env_response"
    return {name: lambda: loop.run_until_complete(batch())}


def sandbox() -> None:
    """Median time from asking for a sandboxed Python to having its output."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        result = run_python({"main.py": "print(1 + 1)"})
        times.append(1000 * (time.perf_counter() - began))
        if result.stdout != "2\n":
            raise SystemExit(f"the sandbox does not work: {result}")
    print(f"\nsandboxed Python, start to output ({result.kind}): median {statistics.median(times):.0f} ms of 20")


def resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
