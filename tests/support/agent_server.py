"""An agent server of a test's own, against the real gateway: one rollout from the dispatcher's request to its end."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.tasks import Task

TASK = Task("t-1", "Fix it", {"label": "secret"})


class Work:
    """What an agent does with one request, in the order given."""

    def __init__(self, payload):
        self.payload, self.about = payload, payload["metadata"]

    async def model_call(self):
        headers = {
            "X-Amzn-SageMaker-Trajectory-Id": self.about["rolloutId"],
            "X-Amzn-SageMaker-Job-Arn": self.about["jobArn"],
        }
        body = {"model": "default", "messages": [{"role": "user", "content": self.payload["prompt"]}]}
        return await self._post("/v1/chat/completions", body, headers)

    async def report(self, path, **body):
        named = {"TrajectoryId": self.about["rolloutId"], "JobArn": self.about["jobArn"]}
        return await self._post(path, named | body)

    async def finish_but_for_the_reward(self):
        await self.model_call()
        await self.report("/complete-rollout", Status="ready")

    async def finish(self, reward=1.0):
        await self.finish_but_for_the_reward()
        await self.report("/update-reward", Rewards=[reward])

    async def refused(self, path, status, **body):
        """A call whose answer the agent swallows; keys that are None are left out."""
        async with httpx.AsyncClient() as client:
            whole = {"TrajectoryId": self.about["rolloutId"], **body}
            content = json.dumps({key: value for key, value in whole.items() if value is not None})
            headers = {"Content-Type": "application/json"}
            answer = await client.post(self.about["endpoint"] + path, content=content, headers=headers)
            assert answer.status_code == status, answer.text

    async def _post(self, path, body, headers=None):
        async with httpx.AsyncClient() as client:
            answer = await client.post(self.about["endpoint"] + path, json=body, headers=headers)
            assert answer.status_code == 200, answer.text


def rollout(handler, session, *, path="/rollout", seen=None, seed=5, **settings):
    """One rollout through an agent server whose handler takes ``Work`` and returns a response."""

    async def endpoint(request):
        payload = await request.json()
        if seen is not None:
            seen.append(payload)
        return await handler(Work(payload))

    async def play():
        registry = Registry()
        agent_app = Starlette(routes=[Route(path, endpoint, methods=["POST"])])
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(GatewayServer(create_gateway(registry)))
            server = await stack.enter_async_context(GatewayServer(agent_app, grace_s=1))
            client = await stack.enter_async_context(httpx.AsyncClient())
            url = server.url + ("" if path == "/rollout" else path)
            agent = HttpAgent(url, registry, gateway.url, client, "arn:run", **{"timeout_s": 5.0, **settings})
            try:
                return await agent.run(session, TASK, seed)
            finally:
                assert len(registry) == 0

    return asyncio.run(play())
