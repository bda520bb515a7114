"""A reference model behind a real HTTP server plays the held-out tasks of a real environment."""

import asyncio
import json
import threading
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from practicum.environment.target import load_target
from practicum.evaluation.evaluator import EvaluationPlan, judged_by
from practicum.evaluation.reference import Reference, evaluate_reference
from practicum.scoring import judge_model
from practicum.scoring.endpoint import Endpoint, Patience
from practicum.tasks import TaskSet

DESK = load_target(str(Path(__file__).parents[1] / "desk.py"))


class Strong:
    """An OpenAI-compatible model that solves the desk's tasks, but where ``spoil`` says otherwise."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.spoil: Any = lambda box, turn: None
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        self._socket = socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=lambda: self._server.run([self._socket]), daemon=True)
        self._thread.start()

    async def _complete(self, request: Any) -> Any:
        body = await request.json()
        self.requests.append(body)
        box = next(m["content"] for m in body["messages"] if m["role"] == "user").removeprefix("Box ").rstrip("?")
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        spoilt = self.spoil(int(box), turn)
        if isinstance(spoilt, int):
            return PlainTextResponse("broken", spoilt)
        if spoilt is not None:
            return _completion(spoilt)
        last = body["messages"][-1]
        if last["role"] == "tool":
            colour = json.loads(last["content"])["colour"]
            return _completion({"content": f'<final_output>{{"colour":"{colour}"}}</final_output>'})
        return _completion(_wish({"box": int(box)}))

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _wish(arguments: Any, text: str | None = None) -> dict[str, Any]:
    function = {"name": "look", "arguments": json.dumps(arguments) if text is None else text}
    return {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}], "refusal": None}


def _completion(message: dict[str, Any], reason: str = "stop") -> Any:
    reason = message.pop("reason", reason)
    choice = {"message": {"role": "assistant", **message}, "finish_reason": reason}
    return JSONResponse({"choices": [choice], "usage": {"completion_tokens": 7, "prompt_tokens": 3}})


@pytest.fixture(scope="module")
def server() -> Any:
    with closing(Strong()) as made:
        yield made


@pytest.fixture
def strong(server: Strong) -> Strong:
    server.requests, server.spoil = [], lambda box, turn: None
    return server


def evaluated(strong: Strong, **more: Any) -> Any:
    plan = EvaluationPlan("test", TaskSet(DESK.tasks("test")[:4]), more.pop("rollouts", 1), 1.0, (1, 2), 5)
    endpoint = Endpoint(strong.url, "strong-1")
    reference = Reference(endpoint, patience=Patience(5, 1, 0.01), **more)
    assert DESK.score is not None
    return asyncio.run(evaluate_reference(reference, plan, DESK.make, score=DESK.score, reward=DESK.reward))


def test_a_reference_model_plays_with_the_same_tools_and_is_judged_by_the_same_score(strong: Strong) -> None:
    found, trajectories = evaluated(strong)
    assert (found.label, found.mode, found.success_rate) == ("reference", "greedy", 1.0)
    assert found.tokens_per_rollout == 14.0
    assert found.tool_calls == {"look": 4}
    assert found.turns_per_rollout == 2.0
    assert found.model["model"] == "strong-1"
    assert {message["role"] for message in trajectories[0].messages} == {"user", "assistant", "tool"}
    assert trajectories[0].rewards
    assert strong.requests[0]["tools"][0]["function"]["name"] == "look"
    assert strong.requests[0]["temperature"] == 0.0
    assert "seed" not in strong.requests[0]


def test_sampled_rollouts_have_seeds_of_their_own(strong: Strong) -> None:
    found, _ = evaluated(strong, temperature=0.7, rollouts=2)
    assert (found.mode, found.n_rollouts) == ("sampled", 8)
    first = [r["seed"] for r in strong.requests if r["messages"][-1]["role"] == "user"]
    assert len(set(first)) == 8
    assert found.pass_at == {"1": 1.0, "2": 1.0}


def test_an_endpoint_that_fails_fails_its_rollouts_and_they_count(strong: Strong) -> None:
    strong.spoil = lambda box, turn: 400 if box % 2 else None
    found, trajectories = evaluated(strong)
    assert (found.success_rate, found.failed) == (0.5, 2)
    assert "HTTP 400" in next(t.error for t in trajectories if t.error)


def test_arguments_that_are_no_json_are_an_error_for_the_model_to_read(strong: Strong) -> None:
    strong.spoil = lambda box, turn: _wish(None, "{box: 1") if turn == 0 else None
    found, trajectories = evaluated(strong)
    assert found.tool_error_frac == 1.0
    assert "not a JSON object" in trajectories[0].tool_calls[0].result


def test_a_model_that_only_calls_tools_runs_out_of_turns_and_one_cut_off_is_cut_off(strong: Strong) -> None:
    strong.spoil = lambda box, turn: _wish({"box": box})
    assert evaluated(strong)[0].max_turns_frac == 1.0
    strong.spoil = lambda box, turn: {"content": "I thi", "reason": "length"}
    found, trajectories = evaluated(strong)
    assert found.at_cap_frac == 1.0
    assert {t.ending for t in trajectories} == {"length"}


def test_a_reference_that_is_asked_for_its_own_opinion_is_marked(strong: Strong) -> None:
    own = judge_model(strong.url, "strong-1", rubric="x", version="1", patience=Patience(5, 0, 0.01))
    other = judge_model(strong.url, "another", rubric="x", version="1", patience=Patience(5, 0, 0.01))
    endpoint = Endpoint(strong.url.replace("127.0.0.1", "localhost"), "strong-1")
    assert judged_by(own, endpoint) == {"judge_models": [f"strong-1 at {strong.url}"], "independent": False}
    assert judged_by(other, endpoint)["independent"]
    assert judged_by(own, None)["independent"]
    assert not judged_by(own, None, "models/strong-1")["independent"]
    assert judged_by(DESK.score, endpoint) == {"judge_models": [], "independent": True}
    assert evaluated(strong)[0].independent


def test_what_an_endpoint_adds_to_its_messages_is_not_sent_back(strong: Strong) -> None:
    evaluated(strong)
    sent = [m for r in strong.requests for m in r["messages"] if m["role"] == "assistant"]
    assert sent
    assert all(set(message) <= {"role", "content", "tool_calls"} for message in sent)
