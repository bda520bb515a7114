"""What an episode begins with."""

from practicum.chat import Message
from practicum.environment.base import Environment
from practicum.tasks import Task


def opening(environment: Environment, task: Task) -> list[Message]:
    """The messages an episode begins with: system prompt, where there is one, the task's history, and its prompt.

    Many chat templates take one system message, at the start: what the task's own says stands below the environment's.
    """
    system = environment.system_prompt(task)
    history = [dict(message) for message in task.history]
    if history and history[0]["role"] == "system":
        own = history.pop(0)["content"]
        system = f"{system}\n\n{own}" if system else own
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*first, *history, {"role": "user", "content": task.prompt}]
