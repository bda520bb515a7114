"""Whatever is sent, the server answers with a status it documents and JSON; never with a fault of its own."""

import asyncio
import json

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.chat_request import UNSUPPORTED, ChatRequest
from practicum.rollout.gateway.registry import Registry

PATIENT = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

schema = schemathesis.openapi.from_asgi("/openapi.json", create_gateway(Registry()))


@schema.parametrize()
@settings(PATIENT, max_examples=25)
def test_no_request_made_from_the_schema_is_a_fault(case):
    response = case.call()
    assert response.status_code < 500
    assert response.json() is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(max_size=8)
BLOCKS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=3)
FUNCTIONS = st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})
CALLS = st.fixed_dictionaries({"id": TEXT, "type": st.just("function"), "function": FUNCTIONS})
PROPER = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXT | BLOCKS}),
    st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT, "tool_call_id": TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={"content": st.none() | TEXT | BLOCKS, "tool_calls": st.lists(CALLS, max_size=2)},
    ),
)
WILD = st.builds(
    lambda message, odd: message | odd,
    PROPER,
    st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "name"]), JSON, max_size=2),
)
NAMES = sorted({*ChatRequest.model_fields, *UNSUPPORTED, "unheard_of"} - {"messages"})
CHATS = st.builds(
    lambda messages, odd: {"messages": messages, **odd},
    st.lists(PROPER, min_size=1, max_size=4) | st.lists(PROPER | WILD, max_size=4) | JSON,
    st.just({}) | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=2),
)
REPORTS = st.fixed_dictionaries(
    {"TrajectoryId": st.just("report-fuzz") | JSON},
    optional={
        "Status": st.sampled_from(["ready", "failed"]) | JSON,
        "Rewards": st.lists(st.floats() | st.integers(), max_size=3) | JSON,
        "Metrics": JSON,
        "Info": JSON,
        "JobArn": JSON,
        "ClientToken": JSON,
    },
)


def post(gateway, path, content, trajectory="chat-fuzz"):
    return gateway.http.post(
        path,
        content=content,
        headers={"Content-Type": "application/json", "X-Amzn-SageMaker-Trajectory-Id": trajectory},
    )


@pytest.fixture(scope="module")
def serving(gateway):
    gateway.open("chat-fuzz")
    gateway.open("report-fuzz")
    return gateway


def encode(body):
    """Python's JSON, which also writes NaN, Infinity and halves of surrogate pairs."""
    return json.dumps(body).encode()


@PATIENT
@given(body=CHATS)
def test_no_chat_body_is_a_fault(serving, body):
    response = post(serving, "/v1/chat/completions", encode(body))
    assert response.status_code in (200, 400)
    if response.status_code == 400:
        assert response.json()["error"]["message"]


@PATIENT
@given(path=st.sampled_from(["/complete-rollout", "/update-reward"]), body=REPORTS)
def test_no_report_is_a_fault(serving, path, body):
    response = post(serving, path, encode(body))
    assert response.status_code in (200, 400, 404, 409)
    assert response.json()


@PATIENT
@given(content=st.binary(max_size=64), path=st.sampled_from(["/v1/chat/completions", "/update-reward"]))
def test_no_bytes_are_a_fault(serving, path, content):
    response = post(serving, path, content)
    assert response.status_code == 400
    assert response.json()["message"]


def test_a_client_that_trickles_its_body_is_answered(serving):
    async def trickle():
        for piece in (b'{"messages": [', b'{"role": "user", ', b'"content": "hi"}]}'):
            yield piece
            await asyncio.sleep(0.01)

    async def send():
        serving.open("slow")
        async with httpx.AsyncClient() as client:
            return await client.post(
                f"{serving.url}/rollouts/slow/v1/chat/completions",
                content=trickle(),
                headers={"Content-Type": "application/json"},
            )

    assert asyncio.run(send()).status_code == 200
