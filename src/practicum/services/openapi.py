"""The operations of an OpenAPI 3 document: what each takes and gives, and where on the wire its arguments go.

An operation's arguments are its path and query parameters, and its JSON or form body: the body's fields side by side
with the parameters where it is a plain object whose fields are called otherwise, else one argument ``body``. Header
and cookie parameters belong to the connection, not to the agent, and are left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from practicum.services.documents import Misshapen
from practicum.services.openapi_schemas import Keys, Schemas, child

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")

Encoding = Literal["json", "form"]


@dataclass(frozen=True)
class Parameter:
    """Where an argument that is no part of the body goes: ``place`` is ``path`` or ``query``."""

    place: str
    explode: bool = True
    style: str = "form"
    as_json: bool = False


@dataclass(frozen=True)
class Operation:
    """One operation of a service.

    Attributes:
        request: JSON Schema of the arguments.
        response, error: JSON Schema of the answers that mean success and failure, where they are JSON.
        parameters: The arguments that go into path and query.
        body: How the others go into the body: none, each as a ``field``, or one ``whole``.
        server: Base URL, as the document says it; may be relative to the document's own.
        problem: Why it cannot be called over HTTP by us; empty where it can.
    """

    name: str
    description: str
    method: str
    path: str
    request: Mapping[str, Any]
    response: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    body: Literal["none", "field", "whole"] = "none"
    encoding: Encoding = "json"
    body_required: bool = False
    server: str = ""
    problem: str = ""


def operations_of(doc: Any) -> tuple[Operation, ...]:
    """Every operation of a document, in its order.

    Raises:
        Misshapen: not OpenAPI 3, an operation without ``operationId`` or one used twice, a reference that leads
            nowhere or out of the document, or a schema that is none.
    """
    version = doc.get("openapi") if isinstance(doc, Mapping) else None
    if not isinstance(version, str) or not version.startswith("3."):
        what = f"openapi {version!r}" if version else "no OpenAPI 3 document"
        raise Misshapen(what, ("openapi",) if version else (), allowed="openapi: 3.0.x, 3.1.x or 3.2.x")
    schemas = Schemas(doc, old=version.startswith("3.0"))
    operations: dict[str, Operation] = {}
    for keys, path, method, item, raw in _raw(doc, schemas):
        operation = _operation(keys, path, method, item, raw, schemas)
        if operation.name in operations:
            raise Misshapen(f"operationId {operation.name!r} is used twice", (*keys, "operationId"), fix="rename one")
        operations[operation.name] = operation
    if not operations:
        raise Misshapen("the document has no operations", ("paths",))
    return tuple(operations.values())


def tool_name(name: str) -> str:
    """A name that OpenAI's function schemas allow."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _raw(doc: Any, schemas: Schemas) -> Iterator[tuple[Keys, str, str, Any, Any]]:
    paths = child(doc, "paths", (), dict)
    for path in paths:
        item, keys = schemas.resolved(paths[path], ("paths", path))
        if not isinstance(item, Mapping):
            raise Misshapen(f"path {path!r} is no object", keys)
        for method in METHODS:
            if method in item:
                yield (*keys, method), path, method, item, child(item, method, keys, dict)


def _operation(keys: Keys, path: str, method: str, item: Any, raw: Any, schemas: Schemas) -> Operation:
    id = raw.get("operationId")
    if not isinstance(id, str) or not id:
        raise Misshapen(
            f"{method.upper()} {path} has no operationId", keys, fix="give it the tool's name as operationId"
        )
    properties: dict[str, Any] = {}
    required: list[str] = []
    parameters: dict[str, Parameter] = {}
    for name, parameter, schema, needed in _parameters(keys, item, raw, schemas):
        if name in properties:
            raise Misshapen(f"{name!r} stands in path and query", keys, fix="no tool can tell them apart: rename one")
        properties[name], parameters[name] = schema, parameter
        required += [name] if needed else []
    missing = set(re.findall(r"\{([^}]*)\}", path)) - {
        name for name, each in parameters.items() if each.place == "path"
    }
    if missing:
        raise Misshapen(f"{path} has a {{{min(missing)}}} that is no path parameter", keys)
    body = _body(keys, raw, schemas, set(properties))
    request = {**body.keywords, "type": "object", "properties": {**properties, **body.properties}}
    if required or body.required:
        request["required"] = [*required, *body.required]
    response, error = _answers(keys, raw, schemas)
    return Operation(
        tool_name(id),
        str(raw.get("description") or raw.get("summary") or ""),
        method,
        path,
        schemas.standalone(request, keys),
        response,
        error,
        parameters,
        body.kind,
        body.encoding,
        body.needed,
        _server(raw) or _server(item) or _server(schemas.doc),
        body.problem,
    )


def _parameters(
    keys: Keys, item: Any, raw: Any, schemas: Schemas
) -> Iterator[tuple[str, Parameter, dict[str, Any], bool]]:
    merged: dict[tuple[str, str], tuple[Any, Keys]] = {}
    for holder, above in ((item, keys[:-1]), (raw, keys)):
        listed = child(holder, "parameters", above, list, default=[])
        for index in range(len(listed)):
            parameter, at = schemas.resolved(listed[index], (*above, "parameters", index))
            if not isinstance(parameter, Mapping) or not isinstance(parameter.get("name"), str):
                raise Misshapen("a parameter has no name", at)
            merged[parameter["name"], str(parameter.get("in"))] = (parameter, at)
    for (name, place), (parameter, at) in merged.items():
        if place in ("path", "query"):
            yield (
                name,
                _place(parameter, place),
                _parameter_schema(parameter, at),
                place == "path" or _needed(parameter),
            )


def _place(parameter: Any, place: str) -> Parameter:
    style = str(parameter.get("style", "form" if place == "query" else "simple"))
    return Parameter(place, bool(parameter.get("explode", style == "form")), style, "content" in parameter)


def _parameter_schema(parameter: Any, at: Keys) -> Any:
    content = child(parameter, "content", at, dict, default={})
    inner = next(iter(content.values())).get("schema", {}) if content else parameter.get("schema", {})
    if isinstance(inner, Mapping) and parameter.get("description"):
        return {"description": parameter["description"], **inner}
    return inner


def _needed(holder: Any) -> bool:
    return holder.get("required") is True


@dataclass(frozen=True)
class _Body:
    kind: Literal["none", "field", "whole"] = "none"
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: Sequence[str] = ()
    keywords: Mapping[str, Any] = field(default_factory=lambda: {"additionalProperties": False})
    encoding: Encoding = "json"
    needed: bool = False
    problem: str = ""


def _body(keys: Keys, raw: Any, schemas: Schemas, argument_names: set[str]) -> _Body:
    if "requestBody" not in raw:
        return _Body()
    body, at = schemas.resolved(raw["requestBody"], (*keys, "requestBody"))
    content = child(body, "content", at, dict)
    needed = _needed(body)
    kind = json_type(content)
    encoding: Encoding = "json"
    if kind is None and "application/x-www-form-urlencoded" in content:
        kind, encoding = "application/x-www-form-urlencoded", "form"
    whole = ["body"] if needed else []
    if kind is None:
        problem = f"its body is {', '.join(content) or 'of no type'}, not JSON"
        return _Body("whole", {"body": {"type": "string"}}, whole, needed=needed, problem=problem)
    raw_schema = child(content, kind, (*at, "content"), dict).get("schema", {})
    schema, _ = schemas.resolved(raw_schema, (*at, "content", kind, "schema"))
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    plain = isinstance(fields, Mapping) and not {"allOf", "anyOf", "oneOf", "$ref"} & set(schema)
    if not plain or not isinstance(fields, Mapping) or set(fields) & argument_names:
        return _Body("whole", {"body": raw_schema}, whole, encoding=encoding, needed=needed)
    names = [str(name) for name in schema.get("required", ())] if needed else []
    others = {key: schema[key] for key in schema if key not in ("title", "description", "properties", "required")}
    return _Body("field", fields, names, others, encoding, needed)


def _answers(keys: Keys, raw: Any, schemas: Schemas) -> tuple[Any, Any]:
    """Schemas of success (the first with JSON), and of all failures that differ."""
    responses = {str(status): value for status, value in child(raw, "responses", keys, dict, default={}).items()}
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for status in sorted(responses, key=lambda status: (status == "default", status)):
        answer, at = schemas.resolved(responses[status], (*keys, "responses", status))
        content = child(answer, "content", at, dict, default={})
        kind = json_type(content)
        if kind is not None:
            place = (*at, "content", kind, "schema")
            schema = schemas.standalone(child(content, kind, at, dict).get("schema", {}), place)
            wanted = good if status.startswith("2") else bad
            wanted += [schema] if schema not in wanted else []
    error = None if not bad else bad[0] if len(bad) == 1 else {"anyOf": bad}
    return good[0] if good else None, error


def json_type(content: Mapping[str, Any]) -> str | None:
    """The media type of JSON among several."""
    return next((kind for kind in content if is_json(kind)), None)


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON: ``application/json``, ``application/problem+json``, …"""
    base = media_type.partition(";")[0].strip().lower()
    return base == "application/json" or base.endswith("+json")


def _server(holder: Any) -> str:
    servers = holder.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    if not isinstance(first, Mapping):
        return ""
    url = str(first.get("url", ""))
    for name, variable in (first.get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return url
