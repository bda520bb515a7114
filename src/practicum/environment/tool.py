"""``@tool``: a method's types become its schema, and calls are checked against them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from practicum.errors import EnvironmentFault

MARK = "__practicum_tool__"

F = TypeVar("F", bound=Callable[..., Any])


class ToolError(Exception):
    """A tool call that failed in a way the agent should see. Raise it from a tool; the text is the result."""


def tool(function: F) -> F:
    """Mark an environment's method as a tool the agent may call.

    Every parameter needs a type; the docstring is the description the model reads.
    """
    setattr(function, MARK, True)
    return function


@dataclass(frozen=True)
class ToolSpec:
    """One tool: its name, what the model is told, and the check on its arguments."""

    name: str
    description: str
    arguments: type[BaseModel]

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The OpenAI function schema; one object for all, not to be changed."""
        parameters = self.arguments.model_json_schema()
        parameters.pop("title", None)
        parameters.pop("description", None)
        for field in parameters.get("properties", {}).values():
            field.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as the method takes them.

        Raises:
            ToolError: telling the agent which argument is wrong and why.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            problems = "; ".join(f"{_place(e['loc'])}: {e['msg'].lower()}" for e in error.errors())
            raise ToolError(f"invalid arguments for {self.name}: {problems}") from error
        return {name: getattr(checked, name) for name in type(checked).model_fields}


def collect_tools(cls: type) -> dict[str, ToolSpec]:
    """Tools of a class, by name, in order of definition (base classes first).

    Raises:
        EnvironmentFault: a tool without types or with variable arguments, naming file and line.
    """
    names = [name for base in reversed(cls.__mro__) for name in vars(base)]
    specs = {}
    for name in dict.fromkeys(names):
        function = getattr(cls, name, None)
        if getattr(function, MARK, False):
            specs[name] = _spec(name, function)
    return specs


def _spec(name: str, function: Any) -> ToolSpec:
    fields: dict[str, Any] = {}
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise _fault(function, f"a type of tool {name!r} cannot be found: {error}") from error
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _fault(function, f"tool {name!r} takes variable arguments, which no schema can express")
        if parameter.name not in hints:
            raise _fault(function, f"parameter {parameter.name!r} of tool {name!r} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        model.model_json_schema()
    except Exception as error:
        raise _fault(function, f"tool {name!r} has a type that no JSON schema expresses: {error}") from error
    return ToolSpec(name, inspect.cleandoc(function.__doc__ or ""), model)


def _fault(function: Any, what: str) -> EnvironmentFault:
    code = function.__code__
    return EnvironmentFault(
        what,
        where=f"{code.co_filename}:{code.co_firstlineno}",
        allowed="typed parameters (str, int, float, bool, list, dict, Literal, Annotated with bounds, …)",
        fix="annotate every parameter",
    )


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "arguments"
