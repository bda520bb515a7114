"""Agents as their authors write them: a plain HTTP server, tools of its own, and one fault each."""

import itertools
import json
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import HTTPServer, ThreadingHTTPServer
from typing import Any

import httpx

from http_agent import Order, http_agent

COLOURS = ("red", "green", "blue")
LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "a box's colour",
        "parameters": {"type": "object", "properties": {"box": {"type": "integer"}}, "required": ["box"]},
    },
}


class Agent:
    """Calls the model and its tool in turns, and reports 1 where the answer names the right colour."""

    tools = (LOOK,)
    server: type[HTTPServer] = ThreadingHTTPServer

    def system(self) -> str:
        return "Answer with <final_output>{…}</final_output>."

    def look(self, box: Any) -> dict[str, Any]:
        return {"colour": COLOURS[box % 3] if isinstance(box, int) else "unknown"}

    def reward(self, prompt: str, answer: str) -> float:
        box = int(prompt.removeprefix("Box ").rstrip("?"))
        return float(f'"{COLOURS[box % 3]}"' in answer)

    def call_id(self, id: str) -> str:
        return id

    def play(self, order: dict[str, Any]) -> None:
        about = order["metadata"]
        endpoint, rollout = about["endpoint"], about["rolloutId"]
        url = f"{endpoint}/rollouts/{rollout}/v1/chat/completions"
        messages: list[Any] = [
            {"role": "system", "content": self.system()},
            {"role": "user", "content": order["prompt"]},
        ]
        said: dict[str, Any] = {}
        for _ in range(6):
            body = {"model": "default", "messages": messages, "tools": list(self.tools)}
            answer = httpx.post(url, json=body, timeout=20)
            answer.raise_for_status()
            said = answer.json()["choices"][0]["message"]
            calls = said.get("tool_calls") or []
            for call in calls:
                call["id"] = self.call_id(call["id"])
            messages.append({"role": "assistant", "content": said.get("content") or "", "tool_calls": calls})
            if not calls:
                messages[-1].pop("tool_calls")
                break
            for call in calls:
                result = self.look(json.loads(call["function"]["arguments"]).get("box"))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
        report = {"TrajectoryId": rollout}
        httpx.post(f"{endpoint}/complete-rollout", json={**report, "Status": "ready"}).raise_for_status()
        paid = self.reward(order["prompt"], said.get("content") or "")
        httpx.post(f"{endpoint}/update-reward", json={**report, "Rewards": [paid]}).raise_for_status()


class NewIds(Agent):
    """Its client renames tool calls, which changes nothing that the model reads."""

    def call_id(self, id: str) -> str:
        return f"call-{uuid.uuid4()}"


class Dated(Agent):
    """The system prompt tells the time."""

    def system(self) -> str:
        return f"It is {time.time_ns()}. {super().system()}"


class Counting(Agent):
    """Its tool counts over all rollouts of the server."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def look(self, box: Any) -> dict[str, Any]:
        return {**super().look(box), "seen": next(self.count)}


class Shared(Agent):
    """Keeps the box it looks at on the server: sound alone, mixed up when two look at once."""

    box: Any = None

    def look(self, box: Any) -> dict[str, Any]:
        self.box = box
        time.sleep(0.05)
        return super().look(self.box)


class Generous(Agent):
    """Pays half for any answer at all."""

    def reward(self, prompt: str, answer: str) -> float:
        return max(0.5, super().reward(prompt, answer))


class Blind(Agent):
    """Pays everybody the same, and too much."""

    def reward(self, prompt: str, answer: str) -> float:
        return 3.0


class Dicing(Agent):
    """The reward has a die in it."""

    def reward(self, prompt: str, answer: str) -> float:
        return uuid.uuid4().int % 997 / 1000


class Broken(Agent):
    """Raises over every tool result."""

    def look(self, box: Any) -> dict[str, Any]:
        raise KeyError(box)


class Strict(Agent):
    """Raises over an answer that is not in the form it asks for."""

    def reward(self, prompt: str, answer: str) -> float:
        if "<final_output>" not in answer:
            raise ValueError(f"no final_output in {answer!r}, which {object()} reads")
        return super().reward(prompt, answer)


class Moody(Agent):
    """Raises over such an answer now and then."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def reward(self, prompt: str, answer: str) -> float:
        if "<final_output>" not in answer and next(self.count) < 2:
            raise ValueError("no final_output")
        return super().reward(prompt, answer)


class Elsewhere(Agent):
    """Offers a tool that the environment has not."""

    tools = ({"type": "function", "function": {**LOOK["function"], "name": "peek"}},)


class OneAtATime(Agent):
    """A server of one thread."""

    server = HTTPServer


def serve(agent: Agent) -> AbstractContextManager[str]:
    """The agent behind POST /rollout; it answers when it is done, or with the error it raised."""

    def answer(order: Order) -> tuple[int, Any]:
        try:
            agent.play(order)
        except Exception as error:
            return 500, {"errorType": "InternalServerError", "errorMessage": repr(error)}
        return 200, {"status": "success"}

    return http_agent(answer, server=agent.server)


AgentOf = Callable[[], Agent]
