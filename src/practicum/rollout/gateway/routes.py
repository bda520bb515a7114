"""What the rollout server serves, in words, and what to do about an address that it does not."""

from collections.abc import Mapping

SERVED = (
    "POST /v1/chat/completions and GET /v1/models (each also under /rollouts/{rolloutId}), "
    "POST /complete-rollout, POST /update-reward, GET /health"
)

_CHAT = "this server speaks OpenAI's Chat Completions"
_OTHER_APIS: Mapping[str, str] = {
    "responses": f"{_CHAT}, not its Responses API: use client.chat.completions; in the OpenAI Agents SDK "
    'set_default_openai_api("chat_completions"), in LangChain use_responses_api=False',
    "messages": f"{_CHAT}, not Anthropic's Messages: give the agent an OpenAI-compatible client with the base URL "
    "{endpoint}/rollouts/{rolloutId}/v1",
    "completions": f"{_CHAT}: send messages to /v1/chat/completions instead of a prompt",
    "embeddings": f"{_CHAT} of the policy alone: ask another server for embeddings",
    "generateContent": f"{_CHAT}, not Gemini's API: give the agent an OpenAI-compatible client",
}
"""By the last part of a path: another API of a client that can speak this one too."""

REPORTS = ("/complete-rollout", "/update-reward")
"""Where an agent says that it has ended, and what its rollout is worth."""
_REPORTS = tuple(path.removeprefix("/") for path in REPORTS)


def mend_of(method: str, path: str) -> str:
    """What whoever called an address that is not served should change; empty where nothing can be guessed."""
    parts = [part for part in path.split("/") if part]
    last = parts[-1].lower() if parts else ""
    if last in _REPORTS and len(parts) == 1:
        return f"send it with POST, not {method}"
    if last in _REPORTS:
        return f"reports go to {{endpoint}}/{last}, with the rolloutId as TrajectoryId in the body"
    if parts.count("v1") > 1:
        return "/v1 stands there twice: the base URL ends in one /v1"
    if parts[-2:] == ["chat", "completions"]:
        return "the base URL must end in /v1" if "v1" not in parts else f"send it with POST, not {method}"
    for name, mend in _OTHER_APIS.items():
        if last == name.lower() or last.endswith(f":{name.lower()}"):
            return mend
    return next((f"did you mean /{name}?" for name in _REPORTS if _alike(name, last)), "")


def _alike(name: str, written: str) -> bool:
    letters = "".join(filter(str.isalpha, written))
    plain = name.replace("-", "")
    return bool(letters) and (letters.startswith(plain) or plain.startswith(letters))
