"""Who may speak for a rollout: whoever was sent its id, and nobody who guesses, listens to a seed, or is a web page."""

import re

import pytest
from starlette.responses import JSONResponse

from agent_server import rollout
from practicum.digests import digest
from practicum.errors import AgentFailed, RolloutTimeout
from practicum.rollout.gateway.registry import secret_id

PAGE = "http://pages.example"
OPENAI = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def session(scripted_session):
    return scripted_session("done")


def ids_of(session, runs):
    """The ids that an agent is sent in so many runs of one seed."""
    seen = []

    async def handler(work):
        seen.append(work.about["rolloutId"])
        await work.finish()
        return JSONResponse({})

    for _ in range(runs):
        rollout(handler, session)
    return seen


def test_the_same_rollout_has_another_id_in_every_run(session):
    first, second = ids_of(session, 2)
    assert first != second
    assert first.rpartition("-")[0] == second.rpartition("-")[0] == f"g-1-{digest(['g-1', 5])[:8]}"


@pytest.mark.parametrize("guess", [lambda name: name, lambda name: f"{name}-{'0' * 32}", secret_id])
def test_what_a_seed_and_a_task_tell_is_not_enough_to_reward_a_rollout(session, guess):
    refused = []

    async def handler(work):
        guessed = guess(work.about["rolloutId"].rpartition("-")[0])
        stranger = type(work)({**work.payload, "metadata": {**work.about, "rolloutId": guessed}})
        await stranger.refused("/complete-rollout", 404, Status="ready")
        await stranger.refused("/update-reward", 404, Rewards=[1.0])
        await stranger.refused(f"/rollouts/{guessed}/v1/chat/completions", 404, TrajectoryId=None, **OPENAI)
        refused.append(guessed)
        await work.finish(0.25)
        return JSONResponse({})

    assert rollout(handler, session).rewards == (0.25,)
    assert len(refused) == 1


def test_a_client_with_nothing_but_a_base_url_bears_the_credential_in_its_path(session):
    async def handler(work):
        await work._post(f"/rollouts/{work.about['rolloutId']}/v1/chat/completions", OPENAI)
        return JSONResponse({"reward": 1.0})

    assert rollout(handler, session).rewards == (1.0,)


def test_an_id_of_the_rollout_before_opens_nothing(session):
    seen = []

    async def handler(work):
        if seen:
            late = type(work)({**work.payload, "metadata": {**work.about, "rolloutId": seen[0]}})
            await late.refused("/complete-rollout", 404, Status="failed")
        seen.append(work.about["rolloutId"])
        await work.finish()
        return JSONResponse({})

    for _ in range(2):
        assert rollout(handler, session).rewards == (1.0,)


SAYINGS = {
    "in its answer": lambda id: JSONResponse({"errorType": "ValidationError", "errorMessage": f"{id} is broken"}),
    "in a page of an error": lambda id: JSONResponse({"detail": id}, 500),
    "at the edge of what is quoted": lambda id: JSONResponse({"status": "failed", "error": "x" * 470 + id}),
}


@pytest.mark.parametrize("saying", SAYINGS.values(), ids=SAYINGS)
def test_an_error_that_quotes_the_id_reads_the_same_in_every_run(session, saying):
    errors = []

    async def handler(work):
        await work.model_call()
        return saying(work.about["rolloutId"])

    for _ in range(2):
        with pytest.raises(AgentFailed) as caught:
            rollout(handler, session)
        errors.append(re.sub(r":\d{4,5}/", ":PORT/", str(caught.value)))
    assert errors[0] == errors[1]
    assert not re.search(r"[0-9a-f]{32}", errors[0])


def test_what_an_agent_tells_beside_its_reward_is_kept_without_the_secret(session):
    async def handler(work):
        await work.finish_but_for_the_reward()
        told = {"id": work.about["rolloutId"], "ids": [[work.about["rolloutId"], 1.5]], "plain": "text"}
        await work.report("/update-reward", Rewards=[1.0], Info=told)
        return JSONResponse({})

    name = f"g-1-{digest(['g-1', 5])[:8]}"
    assert rollout(handler, session).final_state == {"id": name, "ids": [[name, 1.5]], "plain": "text"}


def test_a_refused_call_that_explains_a_late_rollout_is_told_without_the_secret(session):
    async def handler(work):
        await work.model_call()
        await work.refused("/update-reward", 409, Rewards=[1.0])
        return JSONResponse({"status": "accepted"})

    with pytest.raises(Exception, match="Cannot transition trajectory from PENDING") as caught:
        rollout(handler, session, timeout_s=60.0, grace_s=0.1)
    assert not re.search(r"[0-9a-f]{32}", str(caught.value))
    assert "trajectory g-1-" in str(caught.value)


def test_a_rollout_that_is_waited_for_in_vain_is_named_without_the_secret(gateway, trajectory):
    id = secret_id(trajectory)

    async def wait():
        gateway.registry.open(id, object(), name=trajectory)
        await gateway.registry.wait_sealed(id, timeout=0.01)

    with pytest.raises(RolloutTimeout) as caught:
        gateway.run(wait())
    assert caught.value.where == f"trajectory {trajectory}"
    assert id not in str(caught.value)


def test_an_answers_own_id_gives_the_name_and_not_the_secret(gateway, trajectory):
    id = secret_id(trajectory)
    gateway.open(id, name=trajectory)
    assert gateway.chat(id).json()["id"] == f"chatcmpl-{trajectory}-1"


def test_secrets_are_long_and_never_the_same():
    made = {secret_id("r") for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"r-[0-9a-f]{32}", id) for id in made)


@pytest.mark.parametrize("call", ["chat", "complete", "path"])
@pytest.mark.parametrize("settings", [{"tokens": {"of-run"}}, {}], ids=["of the run", "of one rollout"])
def test_who_has_no_token_is_not_told_which_ids_there_are(start_gateway, settings, call):
    gateway = start_gateway(**settings)
    gateway.open("there", token="right")
    answers = []
    for id in ("there", "not-there"):
        if call == "chat":
            answer = gateway.chat(id, Authorization="Bearer guess")
        elif call == "complete":
            answer = gateway.complete(id)
        else:
            answer = gateway.http.get(f"/rollouts/{id}/v1/models")
        answers.append((answer.status_code, answer.content))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


def test_a_model_server_keeps_its_own_calls_ids_secret(start_gateway, scripted_session):
    gateway = start_gateway(open_session=lambda id: opened.append(id) or held)
    held, opened = scripted_session("mine", hold=True), []
    held.release = lambda: None
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(gateway.chat, None)
        assert held.started.wait(20)
        assert gateway.complete("call-1").status_code == 404
        assert [re.fullmatch(r"call-1-[0-9a-f]{32}", id) is not None for id in gateway.registry.open_ids] == [True]
        held.go_on.set()
        assert answer.result().json()["choices"][0]["message"]["content"] == "mine"
    assert opened == ["call-1"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:80", "localhost", "[::1]:8000", "192.168.1.7", "trainer:8000", "host.docker.internal", "a.localhost"],
)
def test_addresses_and_local_names_are_served(gateway, host):
    assert gateway.http.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["pages.example", "127.0.0.1.pages.example:80", "localhost.pages.example", "[::1", "a.local"]
)
def test_a_name_that_a_page_may_have_pointed_here_is_not_served(gateway, trajectory, host):
    gateway.open(trajectory)
    answer = gateway.chat(trajectory, Host=host)
    assert answer.status_code == 403
    assert "gateway_url" in answer.json()["message"]
    assert gateway.http.get("/v1/models", headers={"Host": host}).status_code == 403
    assert gateway.registry.outcome(trajectory).calls == 0


def test_a_name_that_the_run_was_told_is_served(start_gateway):
    gateway = start_gateway(host_names=["Trainer.lab.example"])
    assert gateway.http.get("/health", headers={"Host": "trainer.lab.example:8000"}).status_code == 200
    assert gateway.http.get("/health", headers={"Host": "other.lab.example"}).status_code == 403


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:1", "http://[", ""])
def test_a_page_of_another_origin_is_not_served(gateway, trajectory, origin):
    gateway.open(trajectory)
    assert gateway.chat(trajectory, Origin=origin).status_code == 403
    assert gateway.registry.outcome(trajectory).calls == 0


def test_a_page_of_the_same_origin_is_served(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.chat(trajectory, Origin=gateway.url).status_code == 200


def test_a_refused_host_is_remembered_for_its_rollout(gateway, trajectory):
    gateway.open(trajectory)
    gateway.chat(trajectory, Host="agent.example")
    assert "agent.example" in gateway.registry.outcome(trajectory).refusal.message
