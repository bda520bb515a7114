"""A BFCL conversation being played: its backends' instances, their functions as tools, the check turn by turn."""

import copy
import decimal
import functools
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from practicum.environment import Call, ToolError, ToolSpec
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_code import load_private
from practicum.suites.stand_ins import Acting, acting
from practicum_benchmarks.bfcl_data import BFCL, CLASSES, Conversation, functions


class BfclWorld:
    """Instances of an entry's backend classes, made for one episode; nothing in them is shared with another."""

    def __init__(self, entry: Conversation) -> None:
        self.instances: dict[str, Any] = {}
        with acting(Acting()):
            for owner in entry.owners:
                instance = backends()[owner]()
                if owner not in _stateless():
                    instance._load_scenario(copy.deepcopy(entry.config.get(owner, {})), long_context=entry.long_context)
                # A long context puts records of the module itself (credit cards with balances) into the instance.
                vars(instance).update(copy.deepcopy(vars(instance)))
                self.instances[owner] = instance

    def call(self, call: Call) -> str:
        """What BFCL's executor gives for the call: a result as text, or the text of an error."""
        import mpmath

        method = getattr(self.instances[functions()[call.name].owner], call.name)
        # MathAPI sets the precision of the whole process.
        with acting(Acting()), decimal.localcontext(), mpmath.workdps(mpmath.mp.dps):
            try:
                return _text(method(**copy.deepcopy(dict(call.arguments))))
            except Exception as error:
                return f"Error during execution: {error}"

    def digests(self) -> dict[str, str]:
        """A digest of each instance's state, over its attributes as Python writes them; BFCL's classes write all."""
        return {owner: _digest(vars(instance)) for owner, instance in self.instances.items()}

    def __practicum_state__(self) -> dict[str, str]:
        return self.digests()


@functools.cache
def backends() -> Mapping[str, type]:
    """BFCL's backend classes by name, loaded privately: no wall clock, no time zone, no precision left behind."""
    with BFCL.importing():
        import mpmath  # noqa: F401 (MathAPI needs it; a missing one is told here)
        from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING as modules
    classes = {}
    for owner in CLASSES:
        inner = modules[owner].partition(".")[2]
        path = BFCL.folder.joinpath(*inner.split(".")).with_suffix(".py")
        classes[owner] = getattr(load_private(path, f"practicum_bfcl_{path.stem}"), owner)
    return classes


@functools.cache
def specs() -> Mapping[str, ToolSpec]:
    """Every function's schema and check, bound to no episode."""
    return {name: _spec(name) for name in functions()}


def bound(call: Callable[[Call], str]) -> dict[str, ToolSpec]:
    """The functions' specs, running through ``call``."""

    def runner(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda arguments: call(Call(name, arguments))

    return {name: replace(spec, function=runner(name)) for name, spec in specs().items()}


def valid_turns(entry: Conversation, turns: Sequence[Sequence[Call]]) -> tuple[int, str]:
    """BFCL's rule, by its own state and response checkers: turns right in a row from the first, and what is wrong then.

    After each turn the instances' states must equal those the ground truth leads to, and every response that the
    ground truth got in the turn must be among those the agent got so far. A turn in which the ground truth does
    nothing is not judged.

    Args:
        entry: The conversation.
        turns: The agent's calls in each finished turn.
    """
    with BFCL.importing():
        from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import response_checker, state_checker
    world, gold = BfclWorld(entry), BfclWorld(entry)
    responses: list[str] = []
    for number, (truth, calls) in enumerate(zip(entry.truth, turns, strict=False)):
        responses += [_response(world, call, entry.offered(number)) for call in calls]
        expected = [gold.call(call) for call in truth]
        if truth and not calls:
            return number, "empty"
        if truth and not state_checker(world.instances, gold.instances)["valid"]:
            return number, "state"
        if truth and not response_checker(responses, expected, number)["valid"]:
            return number, "response"
    return min(len(turns), len(entry.truth)), "" if len(turns) == len(entry.truth) else "unfinished"


def _response(world: BfclWorld, call: Call, offered: Sequence[str]) -> str:
    """What the agent was told: the backend's response, or why the call did not reach it."""
    if call.name not in offered:
        return f"unknown tool {call.name!r}"
    try:
        return world.call(Call(call.name, specs()[call.name].check(call.arguments)))
    except ToolError as error:
        return str(error)


def _spec(name: str) -> ToolSpec:
    function = functions()[name]

    def unbound(_arguments: dict[str, Any]) -> Any:
        raise EnvironmentFault(f"{name} was called outside an episode")

    spec = ToolSpec.from_schema(name, function.description, function.parameters, unbound)
    # BFCL's executor checks no types, and its ground truth passes text as the number of a ticket: ids may be either.
    wider = {key: _either(key, value) for key, value in function.parameters["properties"].items()}
    accepting = ToolSpec.from_schema(name, "", {**function.parameters, "properties": wider}, unbound)
    return replace(spec, accept=accepting.accept)


def _either(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    is_id = name.endswith("_id") and schema["type"] == "integer"
    return {"anyOf": [schema, {"type": "string", "maxLength": 100}]} if is_id else schema


def _digest(attributes: Mapping[str, Any]) -> str:
    attributes_written = [(name, _written(value)) for name, value in attributes.items()]
    return hashlib.sha256(repr(attributes_written).encode()).hexdigest()


def _written(value: Any) -> Any:
    """An attribute, where Python's own text of it would hold an address or follow the order of a set."""
    if isinstance(value, random.Random):
        return value.getstate()
    return sorted(value, key=repr) if isinstance(value, set) else value


def _stateless() -> Sequence[str]:
    with BFCL.importing():
        from bfcl_eval.constants.executable_backend_config import STATELESS_CLASSES
    names: Sequence[str] = STATELESS_CLASSES
    return names


def _text(value: Any) -> str:
    """A result as BFCL shows it to a model."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except (TypeError, ValueError):
            return str(value)
    return str(value)
