"""Any OpenAI-compatible endpoint as a place to ask: with a limit on time, retries, and errors that say what to mend."""

import asyncio
import functools
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from practicum.display import say_line
from practicum.errors import RolloutError
from practicum.trajectory import Message

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses that may pass by themselves."""
LONGEST_WAIT_S = 30.0
"""A server's Retry-After is kept to up to here."""
TRIES_IN_FULL = 3
"""So many tries may take their full time; after that the endpoint counts as silent."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


@dataclass(frozen=True)
class Endpoint:
    """A model behind ``{base_url}/chat/completions``.

    ``base_url`` ends as OpenAI clients want it, usually in ``/v1``. The key stands in the environment variable
    ``api_key_env``, never here: whatever stands here is part of digests and of what is written down.
    """

    base_url: str
    model: str
    api_key_env: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"base_url must be an http:// or https:// address such as http://host/v1: {self.base_url!r}"
            )
        if parts.username or parts.password:
            raise ValueError("base_url holds a password; name an environment variable with api_key_env instead")
        if not self.model:
            raise ValueError("an endpoint needs the model's name")

    @property
    def place(self) -> tuple[str, int, str, str]:
        """Host, port, path and model in one form, so that two spellings of one place are equal."""
        parts = urlsplit(self.base_url)
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return "localhost" if host in LOCAL else host, port, parts.path.rstrip("/"), self.model

    def is_same(self, other: "Endpoint") -> bool:
        """Whether both are the same model at the same place, however its address is written."""
        return self.place == other.place


@dataclass(frozen=True)
class Patience:
    """How long and how often an endpoint is asked. Seconds; ``retries`` are further tries after the first."""

    timeout_s: float = 60.0
    retries: int = 3
    backoff_s: float = 0.5

    @property
    def total_s(self) -> float:
        """Seconds for all tries together, whatever the endpoint asks to wait."""
        return TRIES_IN_FULL * self.timeout_s + LONGEST_WAIT_S


async def complete(
    endpoint: Endpoint, messages: Sequence[Message], settings: Mapping[str, Any], patience: Patience
) -> dict[str, Any]:
    """One chat completion as JSON: the endpoint's whole answer.

    Args:
        settings: What stands in the request beside model and messages, such as temperature, max_tokens, tools.

    Raises:
        RolloutError: the endpoint refused, did not answer in time, or gave what is no chat completion.
    """
    try:
        async with asyncio.timeout(patience.total_s):
            return await _complete(endpoint, messages, settings, patience)
    except TimeoutError:
        raise RolloutError(
            f"{endpoint.model} gave no completion within {patience.total_s:g} s, all tries together",
            where=endpoint.base_url,
            fix=_advice("", endpoint),
        ) from None


async def _complete(
    endpoint: Endpoint, messages: Sequence[Message], settings: Mapping[str, Any], patience: Patience
) -> dict[str, Any]:
    import httpx

    from practicum.whole_answers import ask

    headers = {"Authorization": f"Bearer {_key(endpoint)}"} if endpoint.api_key_env else {}
    body = {"model": endpoint.model, "messages": list(messages), **settings}
    url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
    problem, wait = "", 0.0
    async with httpx.AsyncClient(timeout=None, verify=_certificates(), headers=headers) as client:
        for attempt in range(patience.retries + 1):
            await asyncio.sleep(wait)
            wait = patience.backoff_s * 2**attempt
            try:
                # One limit for the whole exchange: a server that trickles must not hold a rollout for ever.
                async with asyncio.timeout(patience.timeout_s):
                    response = await ask(client, "POST", url, json=body)
            except TimeoutError:
                problem = f"no answer within {patience.timeout_s:g} s"
                _tell_once(f"{endpoint.model} at {endpoint.base_url}: {patience.total_s:g} s at most for one answer")
                continue
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status_code == 200:
                return _answer(response, endpoint)
            problem = f"HTTP {response.status_code}: {response.text[:300]}"
            if response.status_code not in RETRIED:
                break
            wait = max(wait, _asked_to_wait(response.headers.get("retry-after")))
    raise RolloutError(
        f"{endpoint.model} gave no completion: {problem}",
        where=url,
        fix=_advice(problem, endpoint),
    )


def message_of(completion: Mapping[str, Any]) -> Message:
    """The first choice's message.

    Raises:
        RolloutError: there is none.
    """
    try:
        message = completion["choices"][0]["message"]
    except (KeyError, IndexError, TypeError):
        message = None
    if not isinstance(message, dict):
        raise RolloutError(f"no choices[0].message in the endpoint's answer: {str(completion)[:300]}")
    return message


def _key(endpoint: Endpoint) -> str:
    key = os.environ.get(endpoint.api_key_env, "")
    if not key:
        raise RolloutError(
            f"the environment variable {endpoint.api_key_env} with the key of {endpoint.model} is not set",
            where=endpoint.base_url,
            fix=f"export {endpoint.api_key_env}=…",
        )
    return key


def _answer(response: Any, endpoint: Endpoint) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise RolloutError(
            f"{endpoint.model} answered with what is not a JSON object: {response.text[:300]!r}",
            where=endpoint.base_url,
            fix="give the address of an OpenAI-compatible endpoint, usually ending in /v1",
        )
    return answer


def _asked_to_wait(value: str | None) -> float:
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(value or 0)))
    except ValueError:  # a date
        return 0.0


def _advice(problem: str, endpoint: Endpoint) -> str:
    if problem.startswith(("HTTP 401", "HTTP 403")):
        return (
            f"check the key in {endpoint.api_key_env}"
            if endpoint.api_key_env
            else "name the key's variable: api_key_env"
        )
    if problem.startswith("HTTP 404"):
        return "check base_url (usually ending in /v1) and the model's name"
    return "check that the endpoint is up, then run again"


@functools.cache
def _tell_once(what: str) -> None:
    """Say what is waited for; of many rollouts that wait for the same, once."""
    say_line(f"practicum: waiting for {what}", stderr=True)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than most requests."""
    return ssl.create_default_context()
