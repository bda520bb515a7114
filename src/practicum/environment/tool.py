"""``@tool``: a method's types become its schema, and calls are checked against them."""

import functools
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import jsonschema
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from referencing import Registry
from referencing.exceptions import Unresolvable

from practicum.errors import EnvironmentFault
from practicum.text import both_ends

MARK = "__practicum_tool__"

ARGUMENT_LIMIT = 100_000
"""Characters of one call's arguments, written as JSON, whatever the tool's own bounds."""

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

_NO_METHODS = (staticmethod, classmethod, property)

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

F = TypeVar("F", bound=Callable[..., Any])


class ToolError(Exception):
    """A tool call that failed in a way the agent should see. Raise it from a tool; the text is the result."""


def tool(function: F) -> F:
    """Mark an environment's method as a tool the agent may call.

    Every parameter needs a type; the docstring is the description the model reads. An ``async def`` is fine.

    Raises:
        EnvironmentFault: the class already has a tool of that name, which Python would silently replace.
    """
    if isinstance(function, _NO_METHODS) or not hasattr(function, "__name__"):
        raise _no_method(function)
    body = sys._getframe(1).f_locals
    before = body.get(function.__name__) if "__qualname__" in body else None
    if getattr(before, MARK, False):
        raise EnvironmentFault(
            f"two tools are called {function.__name__!r}",
            where=f"{place_of(function)} and {place_of(before)}",
            fix="rename one",
        )
    setattr(function, MARK, True)
    return function


@dataclass(frozen=True)
class ToolSpec:
    """One tool: its name, what the model is told, and the check on its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments."""
    accept: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Arguments as the function takes them; raises ``ToolError``."""
    function: Callable[[dict[str, Any]], Any] | None = None
    """What runs, sync or async; None for the environment's method of the tool's name, called by keyword."""

    @classmethod
    def from_schema(
        cls,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        function: Callable[[dict[str, Any]], Any],
    ) -> "ToolSpec":
        """A tool whose schema is known at run time only (from a recording, a server, a foreign suite).

        Raises:
            EnvironmentFault: ``parameters`` is not a JSON Schema.
        """
        if not isinstance(parameters, Mapping):
            raise EnvironmentFault(
                f"the parameters of tool {name!r} are {parameters!r}", allowed="a JSON Schema: a dict"
            )
        kind = jsonschema.validators.validator_for(parameters, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(dict(parameters))
        except jsonschema.SchemaError as error:
            raise EnvironmentFault(
                f"the parameters of tool {name!r} are not a JSON Schema: {error.message}",
                where="/".join(str(part) for part in error.path),
            ) from error
        # With a registry of its own it looks for no schema on the network.
        validator = kind(dict(parameters), registry=Registry())
        accept = functools.partial(_accept_by_schema, name, validator)
        return cls(name, description, parameters, accept, function)

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The OpenAI function schema; one object for all, not to be changed."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as the function takes them.

        Raises:
            ToolError: telling the agent which argument is wrong and why.
        """
        text = _json(self.name, arguments)
        if len(text) > ARGUMENT_LIMIT:
            taken = f"at most {ARGUMENT_LIMIT} are taken"
            raise ToolError(f"the arguments for {self.name} have {len(text)} characters; {taken}")
        # The tool's own copy: what it does to its arguments is not what the agent said.
        return self.accept(json.loads(text))


def collect_tools(cls: type) -> dict[str, ToolSpec]:
    """Tools of a class, by name, in order of definition (base classes first).

    Raises:
        EnvironmentFault: a tool without types, with variable arguments or with a parameter of a name that cannot be
            given, naming file and line.
    """
    names = [name for base in reversed(cls.__mro__) for name in vars(base)]
    specs = {}
    for name in dict.fromkeys(names):
        function = inspect.getattr_static(cls, name, None)
        if isinstance(function, _NO_METHODS) and getattr(_inner(function), MARK, False):
            raise _no_method(function)
        if getattr(function, MARK, False):
            specs[name] = _spec(name, function)
    return specs


def _spec(name: str, function: Any) -> ToolSpec:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    model, schema = arguments_model(function, f"tool {name!r}", parameters)
    description = inspect.cleandoc(function.__doc__ or "")
    return ToolSpec(name, description, schema, functools.partial(_accept_by_model, name, model))


def arguments_model(
    function: Any, subject: str, parameters: Sequence[inspect.Parameter]
) -> tuple[type[BaseModel], dict[str, Any]]:
    """The pydantic model of a function's arguments, made of its types, and its JSON Schema.

    Args:
        subject: What errors call it.
        parameters: Those that become fields.

    Raises:
        EnvironmentFault: a parameter without a type, with variable arguments or of a name that cannot be given, or a
            type that no schema expresses.
    """
    fields: dict[str, Any] = {}
    hints = type_hints(function, subject)
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _fault(function, f"{subject} takes variable arguments, which no schema can express")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise _fault(function, f"parameter {parameter.name!r} of {subject} cannot be given by name")
        if reason := reserved(parameter.name):
            raise _fault(function, f"parameter {parameter.name!r} of {subject} {reason}", "rename the parameter")
        if parameter.name not in hints:
            raise _fault(function, f"parameter {parameter.name!r} of {subject} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        with warnings.catch_warnings():
            # A parameter may well be called "json" or "copy"; that it hides a model's method does no harm here.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute", category=UserWarning)
            model = create_model(getattr(function, "__name__", "arguments"), __config__=_CONFIG, **fields)
        return model, _without_titles(model.model_json_schema())
    except Exception as error:
        raise _fault(function, f"{subject} has a type that no JSON schema expresses: {error}") from error


def type_hints(function: Any, subject: str) -> dict[str, Any]:
    """A function's types by parameter, and that of what it returns.

    Raises:
        EnvironmentFault: a type that is not there.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise _fault(function, f"a type of {subject} cannot be found: {error}") from error


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """An object's schema without what pydantic adds for people."""
    for key in ("title", "description"):
        schema.pop(key, None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return schema


def _accept_by_model(name: str, model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked = model.model_validate(dict(arguments))
    except ValidationError as error:
        problems = "; ".join(f"{_place(e['loc'])}: {e['msg'].lower()}" for e in error.errors())
        raise ToolError(f"invalid arguments for {name}: {problems}") from error
    return {field: getattr(checked, field) for field in type(checked).model_fields}


def _accept_by_schema(name: str, validator: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(arguments)
    try:
        errors = sorted(validator.iter_errors(values), key=lambda error: (list(map(str, error.path)), error.message))
    except Unresolvable as error:
        raise EnvironmentFault(
            f"the parameters of tool {name!r} refer to a schema that is not there: {error}",
            allowed="references within the schema; nothing is fetched",
        ) from error
    if errors:
        # jsonschema repeats the whole value, which may be as long as a call may be.
        problems = "; ".join(f"{_place(tuple(error.path))}: {both_ends(error.message)}" for error in errors)
        raise ToolError(f"invalid arguments for {name}: {problems}")
    return values


def _json(name: str, arguments: Mapping[str, Any]) -> str:
    try:
        text = _ENCODE(dict(arguments))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"invalid arguments for {name}: not JSON ({error})") from error
    return text


def reserved(parameter: str) -> str:
    """Why a parameter of that name would never reach its function; empty where it does."""
    if parameter.startswith("_"):
        return "begins with an underscore: pydantic, which checks the arguments, takes it for private and drops it"
    if parameter == "model_config":
        return "has the name under which pydantic, which checks the arguments, keeps its own settings"
    return ""


def _fault(function: Any, what: str, fix: str = "annotate every parameter") -> EnvironmentFault:
    return EnvironmentFault(
        what,
        where=place_of(function),
        allowed="typed parameters (str, int, float, bool, list, dict, Literal, Annotated with bounds, …)",
        fix=fix,
    )


def _inner(function: Any) -> Any:
    return function.fget if isinstance(function, property) else getattr(function, "__func__", function)


def _no_method(function: Any) -> EnvironmentFault:
    inner = _inner(function)
    return EnvironmentFault(
        f"{getattr(inner, '__name__', inner)!r} cannot be a tool: it is a {type(function).__name__}",
        where=place_of(inner),
        allowed="a method of the environment: def name(self, …), or async def",
        fix="put @tool over a plain method",
    )


def place_of(function: Any) -> str:
    """``file:line`` of a function's definition; empty where it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "arguments"
