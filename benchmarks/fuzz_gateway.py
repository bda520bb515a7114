"""Thousands of requests, most of them wrong, against the real gateway: none may be a fault, a hang, or stay in memory.

    python benchmarks/fuzz_gateway.py [REQUESTS] [--seed N]

The server runs in a process of its own, with real sessions, tokenizer and renderer; only the policy is a script. Its
clients talk raw HTTP: chats, reports, nonsense, bodies cut short, hang-ups followed at once by the same request, nests,
floods of messages, megabytes. Printed are answers by status, hangs (no answer within 30 s), the slowest answer, the
longest time that the server's event loop stood still, and what stays in its memory: after each eighth of the requests
all are answered, every session is closed, and the C library gives back what is free. Exits with 1 where an answer was
5xx, a request hung, or the second half of the requests left more than 16 MiB; in the first, pools and caches fill.
"""

import argparse
import asyncio
import copy
import ctypes
import gc
import json
import logging
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from practicum.engine.local.models import SMOLLM2, find_model, load_tokenizer
from practicum.engine.protocol import Sample, SamplingParams
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry, State
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session

CONTEXT, CLIENTS, TRAJECTORIES, HANG_S, PARTS, GROWTH_MIB = 8192, 8, 16, 30.0, 8, 16
IDS = [f"fuzz-{number}" for number in range(TRAJECTORIES)]
LINES = ("It is open.", '[search(text="ticket 7")]', '[search("a", "b", limit=', "x" * 200, "")
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"properties": {"text": {"type": "string"}}}}}


class Script:
    """A policy that says one of ``LINES`` after the other."""

    version, max_length = 0, CONTEXT

    def __init__(self, tokenizer: Any) -> None:
        self.lines = [tuple(tokenizer.encode(line)) for line in LINES]
        self.calls = 0

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """The next line."""
        self.calls += 1
        await asyncio.sleep(0.001)
        ids = (*self.lines[self.calls % len(LINES)], params.stop_token_ids[0])[: params.max_tokens]
        ends = ids[-1] in params.stop_token_ids
        return Sample(ids, (-1.0,) * len(ids), (0,) * len(ids), "stop" if ends else "length")

    def release(self, session: str) -> None:
        """Nothing is kept."""


async def serve(pipe: Connection) -> None:
    """Serve until told to stop; says the port at first, how long the loop stood still at last, memory when asked."""
    tokenizer = load_tokenizer(find_model(SMOLLM2))
    renderer, script, registry = make_renderer(tokenizer, SMOLLM2), Script(tokenizer), Registry()
    gateway = create_gateway(registry)
    longest = worked = 0.0

    def opened(id: str) -> None:
        registry.open(id, Session(id, script, renderer, SamplingParams(max_tokens=64), 0))

    async with GatewayServer(gateway) as server:
        for id in IDS:
            opened(id)
        pipe.send(server.port)
        message = ""
        while message != "stop":
            began, used = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began - 0.005)
            worked = max(worked, time.thread_time() - used)
            message = pipe.recv() if pipe.poll() else ""
            for id in IDS:
                entry = registry.get(id)
                if message == "measure" or entry.state is not State.PENDING or entry.calls > 50:
                    await registry.close(id)
                    opened(id)
            if message == "measure":
                pipe.send(remaining_mib())
    pipe.send((longest, worked))


def remaining_mib() -> float:
    """This process's resident memory, without what is free."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_server(pipe: Connection) -> None:
    """The server's process; the figures say what its log would."""
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(pipe))


@dataclass
class Fuzz:
    """Makes requests, each as the bytes of HTTP/1.1, from a seed."""

    random: random.Random

    def request(self) -> bytes:
        """One request."""
        kinds = (self.chat, self.mutated_chat, self.report, self.nonsense, self.nested, self.flooded, self.long)
        return self.random.choices(kinds, (8, 8, 4, 4, 3, 0.3, 0.1))[0]()

    def http(self, path: str, body: bytes, method: str = "POST", length: int | None = None, **headers: str) -> bytes:
        """A request of its own connection."""
        lines = {"Host": "g", "Content-Type": "application/json", "Connection": "close", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        size = len(body) if length is None else length
        return f"{method} {path} HTTP/1.1\r\n{head}Content-Length: {size}\r\n\r\n".encode() + body

    def to_model(self, body: Any) -> bytes:
        """A model call, the trajectory in its path or in a header."""
        id, content = (
            self.random.choice([*IDS, "unknown"]),
            body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        if self.random.random() < 0.5:
            return self.http(f"/rollouts/{id}/v1/chat/completions", content)
        return self.http("/v1/chat/completions", content, **{"X-Amzn-SageMaker-Trajectory-Id": id})

    def chat_body(self) -> dict[str, Any]:
        """A body as it should be, free to be changed."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] * self.random.randint(0, 1)
        for number in range(self.random.randint(1, 4)):
            messages.append({"role": "user", "content": self.text()})
            if self.random.random() < 0.3:
                call = {
                    "id": f"c{number}",
                    "type": "function",
                    "function": {"name": "search", "arguments": self.text()},
                }
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
                messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": self.text()})
        body: dict[str, Any] = {"messages": messages, "stream": self.random.random() < 0.3}
        return copy.deepcopy(body | ({"tools": [TOOL]} if self.random.random() < 0.5 else {}))

    def text(self) -> str:
        """A few words, some of them odd."""
        odd = ("ticket 7", "<|im_end|>", "\u202e", "\x1b[2J", "{}", '{"a": 2.0}', "🎓", "<tool_call>", "a" * 300, "")
        return " ".join(self.random.choices(odd, k=self.random.randint(0, 5)))

    def chat(self) -> bytes:
        """A proper model call."""
        return self.to_model(self.chat_body())

    def mutated_chat(self) -> bytes:
        """One with something else in one place, or with a parameter more."""
        body = self.chat_body()
        place: Any = body
        while isinstance(place, dict | list) and place:
            key = self.random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if self.random.random() < 0.4 or not isinstance(place[key], dict | list):
                place[key] = self.value()
                break
            place = place[key]
        parameters = ("temperature", "top_p", "max_tokens", "stop", "n", "tool_choice", "tools", "seed", "odd", "model")
        return self.to_model(
            body | {self.random.choice(parameters): self.value() for _ in range(self.random.randint(0, 2))}
        )

    def value(self) -> Any:
        """Any JSON value."""
        plain = (None, True, 0, -1, 1e308, float("nan"), 10**400, "\ud800", "\0", "x" * 5000, [], {}, [[]], {"a": None})
        return self.random.choice(
            (*plain, self.text(), [self.text()] * 200, TOOL, {"type": "function", "function": TOOL})
        )

    def report(self) -> bytes:
        """An end or a reward, proper or not."""
        body: dict[str, Any] = {"TrajectoryId": self.random.choice([*IDS, "unknown", None])}
        end = self.random.random() < 0.5
        proper = {"Status": self.random.choice(["ready", "failed"])} if end else {"Rewards": [self.random.random()]}
        body |= proper if self.random.random() < 0.7 else {}
        names = ("Rewards", "Metrics", "Info", "JobArn", "ClientToken", "Status", "odd" * 2000)
        body |= {name: self.value() for name in self.random.sample(names, self.random.randint(0, 2))}
        return self.http("/complete-rollout" if end else "/update-reward", json.dumps(body).encode())

    def nonsense(self) -> bytes:
        """Bytes that are no request of ours, or none at all."""
        body, cut = json.dumps(self.chat_body()).encode(), self.random.randint(0, 60)
        makes = (
            lambda: self.to_model(self.random.randbytes(cut)),
            lambda: self.to_model(body[:cut]),
            lambda: self.to_model(body.decode().encode("utf-16")),
            lambda: self.http(f"/{self.random.choice(['v1', 'x' * 3000, '%00', '..', 'v1/responses'])}", body),
            lambda: self.http("/v1/models", b"", self.random.choice(["GET", "PUT", "DELETE", "OPTIONS"])),
            lambda: self.http("/v1/chat/completions", body, **{"Content-Type": "text/plain"}),
            lambda: self.http("/v1/chat/completions", body, **{"X-Amzn-SageMaker-Trajectory-Id": "x" * 8000}),
            lambda: self.http("/v1/chat/completions", body[:cut], length=len(body)),
            lambda: self.random.randbytes(200) + b"\r\n\r\n",
        )
        return self.random.choice(makes)()

    def nested(self) -> bytes:
        """Lists or objects within one another, 10 to 100,000 deep, in any place."""
        depth = self.random.choice([10, 90, 120, 250, 260, 500, 990, 5_000, 100_000])
        opening, closing = self.random.choice([("[", "]"), ('{"a":', "}")])
        nest = opening * depth + "1" + closing * depth
        places = (
            '{"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": '
            '{"name": "f", "parameters": {"p": NEST}}}]}',
            '{"messages": NEST}',
            '{"messages": [{"role": "user", "content": "hi"}], "metadata": NEST}',
            '{"messages": [{"role": "user", "content": "hi"}], "response_format": NEST}',
            "NEST",
        )
        if self.random.random() < 0.3:
            body = f'{{"TrajectoryId": "{self.random.choice(IDS)}", "Rewards": [1], "Info": {{"p": {nest}}}}}'
            return self.http("/update-reward", body.encode())
        return self.to_model(self.random.choice(places).replace("NEST", nest).encode())

    def flooded(self) -> bytes:
        """Very many small things."""
        many = self.random.choice([2_000, 20_000, 200_000])
        floods = (
            {"messages": [{"role": "user", "content": ""}] * (many // 10)},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * many}]},
            {"messages": [{"role": "user", "content": "hi"}], "stop": ["q"] * many},
            {"messages": [{"role": "user", "content": "hi"}], "tools": [TOOL] * (many // 10)},
        )
        return self.to_model(self.random.choice(floods))

    def long(self) -> bytes:
        """One text of up to 9 MB."""
        text = self.random.choice(["word ", "x", "é", "<|im_end|>", "\\"]) * self.random.choice(
            [20_000, 200_000, 900_000]
        )
        return self.to_model({"messages": [{"role": "user", "content": text}]})


@dataclass
class Figures:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[bytes] = field(default_factory=list)
    hangs: int = 0
    slowest: float = 0.0
    sent: int = 0
    memory: list[float] = field(default_factory=list)


async def answer(port: int, request: bytes) -> bytes:
    """The whole answer; empty where the server closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if b"Content-Length" not in request or len(request.partition(b"\r\n\r\n")[2]) < _length(request):
            writer.write_eof()  # a body cut short: the server must not wait for the rest
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _length(request: bytes) -> int:
    head = request.partition(b"\r\n\r\n")[0]
    return int(head.rpartition(b"Content-Length: ")[2])


async def hang_up(port: int, request: bytes, seconds: float) -> None:
    """Send a request and close without reading."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def client(port: int, fuzz: Fuzz, requests: int, figures: Figures) -> None:
    """Send so many requests, one after the other."""
    for _ in range(requests):
        request = fuzz.request()
        if fuzz.random.random() < 0.1:
            await hang_up(port, request, fuzz.random.choice([0.0, 0.002, 0.02]))
        began = time.monotonic()
        try:
            said = await asyncio.wait_for(answer(port, request), HANG_S)
        except TimeoutError:
            figures.hangs += 1
            figures.faults.append(request[:300])
            continue
        finally:
            figures.sent += 1
        figures.slowest = max(figures.slowest, time.monotonic() - began)
        status = said[9:12].decode("latin-1") or "closed"
        figures.statuses[status] += 1
        if status.startswith("5"):
            figures.faults.append(request[:300] + b" -> " + said[-300:])


async def attack(port: int, pipe: Connection, requests: int, seed: int) -> Figures:
    """Send all requests from several clients, and ask after each part of them what stayed in memory."""
    figures = Figures()
    fuzzes = [Fuzz(random.Random(f"{seed} {number}")) for number in range(CLIENTS)]
    for _ in range(PARTS):
        async with asyncio.TaskGroup() as group:
            for fuzz in fuzzes:
                group.create_task(client(port, fuzz, requests // CLIENTS // PARTS, figures))
        await asyncio.sleep(1.0)  # what was hung up on may still be worked on
        pipe.send("measure")
        figures.memory.append(await asyncio.to_thread(pipe.recv))
    return figures


def main() -> int:
    """Run, print, and say by the exit status whether all held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("requests", nargs="?", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=run_server, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    began = time.monotonic()
    figures = asyncio.run(attack(port, ours, arguments.requests, arguments.seed))
    seconds = time.monotonic() - began
    ours.send("stop")
    stood_still, worked = ours.recv()
    server.join()
    growth = figures.memory[-1] - figures.memory[PARTS // 2 - 1]
    faults = sum(count for status, count in figures.statuses.items() if status.startswith("5"))
    print(f"{figures.sent} requests in {seconds:.0f} s, by status: {dict(sorted(figures.statuses.items()))}")
    print(f"5xx: {faults}; hangs: {figures.hangs}; slowest answer {figures.slowest:.2f} s")
    print(
        f"longest stand-still of the server's event loop: {stood_still:.2f} s, {worked:.2f} s of it the loop's own work"
    )
    print("memory that stayed after each eighth, MiB: " + ", ".join(f"{mib:.0f}" for mib in figures.memory))
    for fault in figures.faults[:10]:
        print("fault:", fault)
    return int(bool(faults or figures.hangs or growth > GROWTH_MIB))


if __name__ == "__main__":
    sys.exit(main())
