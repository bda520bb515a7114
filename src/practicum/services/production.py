"""The tools that production publishes, read from its own schema file, and files of that kind written from ours.

Three forms are read, from JSON or YAML, and told apart by their keys (``load_production``):

OpenAPI 3.0, 3.1 or 3.2: every operation is a tool; its ``operationId`` is the name, ``description`` or ``summary``
the description. Arguments, answer and error come from parameters, body and responses; see ``openapi``::

    {"openapi": "3.1.0", "info": …, "paths": {"/tickets/{ticket_id}": {"get": {"operationId": "get_ticket", …}}}}

MCP, the result of ``tools/list``::

    {"tools": [{"name": "get_ticket", "description": "…", "inputSchema": {…}, "outputSchema": {…}}]}

where ``description`` and ``outputSchema`` may be missing. JSON Schemas by name::

    {"tools": {"get_ticket": {"description": "…", "request": {…}, "response": {…}, "error": {…}}}}

where all but ``request`` may be missing. Every schema stands on its own (``$defs`` within it); ``request`` and
``inputSchema`` describe an object.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from practicum.environment.base import Environment
from practicum.errors import EnvironmentFault
from practicum.files import write_text
from practicum.services.documents import Misshapen, load_document
from practicum.services.openapi import Operation, operations_of
from practicum.services.openapi_schemas import Keys, checked, child, hoisted

Form = Literal["openapi", "mcp", "json-schema"]


@dataclass(frozen=True)
class ProductionTool:
    """A tool as production publishes it.

    Attributes:
        request: JSON Schema of the arguments, an object.
        response: JSON Schema of what it returns; None where that is not published.
        error: JSON Schema of its errors; None where that is not published.
    """

    name: str
    description: str
    request: Mapping[str, Any]
    response: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


Tools = tuple[ProductionTool, ...]


def load_production(path: Path | str) -> Tools:
    """The tools of a schema file, in its order.

    Raises:
        EnvironmentFault: the file is missing or broken, or of none of the three forms; names file and line.
    """
    path = Path(path)
    doc = load_document(path)
    try:
        return _reader(doc)(doc)
    except Misshapen as error:
        raise error.at(path) from error


def tools_from_openapi(doc: Any) -> Tools:
    """Tools of an OpenAPI 3 document.

    Raises:
        EnvironmentFault: naming the place in the document.
    """
    return tools_of(operations_of(doc))


def tools_of(operations: Iterable[Operation]) -> Tools:
    """Operations of a service as tools."""
    return tuple(
        ProductionTool(each.name, each.description, each.request, each.response, each.error) for each in operations
    )


def tools_from_mcp(doc: Any) -> Tools:
    """Tools of MCP's ``tools/list`` result.

    Raises:
        EnvironmentFault: naming the place in the document.
    """
    listed = child(doc, "tools", (), list)
    tools: dict[str, ProductionTool] = {}
    for index, raw in enumerate(listed):
        keys: Keys = ("tools", index)
        name = raw.get("name") if isinstance(raw, Mapping) else None
        if not isinstance(name, str) or not name:
            raise Misshapen("a tool has no name", keys)
        if name in tools:
            raise Misshapen(f"two tools are called {name!r}", (*keys, "name"), fix="rename one")
        output = raw.get("outputSchema")
        response = None if output is None else checked(output, (*keys, "outputSchema"))
        request = _request(raw, "inputSchema", keys)
        tools[name] = ProductionTool(name, str(raw.get("description") or ""), request, response)
    return _some(tools)


def tools_from_json_schema(doc: Any) -> Tools:
    """Tools of JSON Schemas by name.

    Raises:
        EnvironmentFault: naming the place in the document.
    """
    listed = child(doc, "tools", (), dict)
    tools: dict[str, ProductionTool] = {}
    for name in listed:
        keys: Keys = ("tools", name)
        raw = child(listed, name, ("tools",), dict)
        unknown = sorted(set(raw) - {"description", "request", "response", "error"})
        if unknown:
            raise Misshapen(
                f"tool {name!r} has an unknown key {unknown[0]!r}",
                (*keys, unknown[0]),
                allowed="description, request, response, error",
            )
        others = (None if raw.get(key) is None else checked(raw[key], (*keys, key)) for key in ("response", "error"))
        request = _request(raw, "request", keys)
        tools[name] = ProductionTool(name, str(raw.get("description") or ""), request, *others)
    return _some(tools)


def production_of(environment: Environment) -> Tools:
    """An environment's own tools in the same form. What they return is not declared, and stays None."""
    functions = [schema["function"] for schema in environment.schemas()]
    return tuple(ProductionTool(each["name"], each["description"], each["parameters"]) for each in functions)


def document_of(tools: Iterable[ProductionTool], form: Form, *, title: str = "tools", version: str = "1") -> Any:
    """A schema document that publishes the tools; reading it gives them back.

    MCP has no form for errors, and leaves them out. In OpenAPI each tool is ``POST /NAME`` with a JSON body.

    Raises:
        EnvironmentFault: no such form.
    """
    writers: dict[str, Callable[[list[ProductionTool]], Any]] = {
        "mcp": lambda listed: {"tools": [_mcp(tool) for tool in listed]},
        "json-schema": lambda listed: {"tools": {tool.name: _by_name(tool) for tool in listed}},
        "openapi": lambda listed: _openapi(listed, {"title": title, "version": version}),
    }
    if form not in writers:
        raise EnvironmentFault(f"there is no form {form!r}", allowed=", ".join(writers))
    return writers[form](list(tools))


def write_production(environment: Environment, path: Path | str, form: Form = "mcp") -> None:
    """Write an environment's schema file, as JSON."""
    doc = document_of(production_of(environment), form, title=environment.id, version=environment.version)
    write_text(Path(path), json.dumps(doc, indent=1, ensure_ascii=False) + "\n")


def _reader(doc: Any) -> Callable[[Any], Tools]:
    if isinstance(doc, Mapping):
        if "openapi" in doc or "swagger" in doc:
            return tools_from_openapi
        if isinstance(doc.get("tools"), list):
            return tools_from_mcp
        if "tools" in doc:
            return tools_from_json_schema
    raise Misshapen(
        "this is no schema file of tools",
        allowed='OpenAPI 3 ({"openapi": …}), MCP ({"tools": […]}), or JSON Schemas ({"tools": {name: {"request": …}}})',
    )


def _request(raw: Any, key: str, keys: Keys) -> dict[str, Any]:
    if not isinstance(raw, Mapping) or key not in raw:
        raise Misshapen(f"{key} is missing", keys, fix=f"give the tool's arguments as {key}")
    schema = checked(raw[key], (*keys, key))
    if schema.get("type") != "object":
        raise Misshapen(f"{key} does not describe an object", (*keys, key), allowed='{"type": "object", …}')
    return schema


def _some(found: Mapping[str, ProductionTool]) -> Tools:
    if not found:
        raise Misshapen("there are no tools", ("tools",))
    return tuple(found.values())


def _mcp(tool: ProductionTool) -> dict[str, Any]:
    output = {} if tool.response is None else {"outputSchema": tool.response}
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.request, **output}


def _by_name(tool: ProductionTool) -> dict[str, Any]:
    known = {"response": tool.response, "error": tool.error}
    given = {key: schema for key, schema in known.items() if schema is not None}
    return {"description": tool.description, "request": tool.request, **given}


def _openapi(tools: list[ProductionTool], info: Mapping[str, str]) -> dict[str, Any]:
    components: dict[str, Any] = {}
    paths = {f"/{tool.name}": {"post": _operation(tool, components)} for tool in tools}
    parts = {"components": {"schemas": components}} if components else {}
    return {"openapi": "3.1.0", "info": info, "paths": paths, **parts}


def _operation(tool: ProductionTool, components: dict[str, Any]) -> dict[str, Any]:
    def content(schema: Mapping[str, Any]) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": hoisted(schema, components)}}}

    responses: dict[str, Any] = {"200": {"description": "success"}}
    if tool.response is not None:
        responses["200"] |= content(tool.response)
    if tool.error is not None:
        responses["400"] = {"description": "error", **content(tool.error)}
    body = {"required": True, **content(tool.request)}
    return {"operationId": tool.name, "description": tool.description, "requestBody": body, "responses": responses}
