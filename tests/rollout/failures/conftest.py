"""Rollouts of agents that fail: played in this process, and by an agent server."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from failing_agents import PARAMS, REF, requests
from practicum.rollout import dispatcher as dispatcher_module
from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.dispatcher import Dispatcher, Limits
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "BACKOFF_S", 0.001)


@pytest.fixture
def dispatch(speaker, pythonic):
    def run(agent, count=1, *, say="Hello.", reward=lambda rollout: 0.5, **settings):
        dispatcher = Dispatcher(speaker(say), pythonic, PARAMS, agent, REF, reward, **settings)
        return asyncio.run(asyncio.wait_for(dispatcher.run(requests(count)), 30))

    return run


@pytest.fixture
def serve(speaker, pythonic):
    """Rollouts of an agent server: ``play(order, ask, post)`` gives its HTTP answer."""

    def run(play, count=1, *, say="Hello.", reward=None, retries=2, timeout=60.0, sampler=None, **settings):
        ids = []

        async def answer(request):
            order = await request.json()
            about = order["metadata"]
            ids.append(about["rolloutId"])
            base = f"{about['endpoint']}/rollouts/{about['rolloutId']}/v1"

            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

                async def ask(messages, **more):
                    body = {"model": "m", "messages": messages, **more}
                    return await client.post(f"{base}/chat/completions", json=body)

                async def post(path, **body):
                    body = {"TrajectoryId": about["rolloutId"], **body}
                    return await client.post(about["endpoint"] + path, json=body)

                return await play(order, ask, post)

        async def go():
            registry = Registry()
            app = Starlette(routes=[Route("/rollout", answer, methods=["POST"])])
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(GatewayServer(create_gateway(registry)))
                server = await stack.enter_async_context(GatewayServer(app, grace_s=1))
                client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
                needs = {"timeout_s": timeout, "needs_reward": reward is None}
                agent = HttpAgent(server.url, registry, gateway.url, client, "arn:run", **needs)
                limits = Limits(timeout=timeout + 2, retries=retries)
                engine = sampler or speaker(say)
                dispatcher = Dispatcher(engine, pythonic, PARAMS, agent, REF, reward, limits=limits, **settings)
                return await dispatcher.run(requests(count))

        return asyncio.run(asyncio.wait_for(go(), 120)), ids

    return run
