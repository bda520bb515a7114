"""Production's schema files: three forms, one meaning; and every broken one says where it is broken."""

import json
from typing import Annotated

import jsonschema
import pytest
import yaml
from fastapi import Body, FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

from practicum.errors import EnvironmentFault
from practicum.services.production import (
    ProductionTool,
    document_of,
    load_production,
    production_of,
    tools_from_json_schema,
    tools_from_mcp,
    tools_from_openapi,
    write_production,
)

TICKET = {"type": "object", "properties": {"id": {"$ref": "#/$defs/Id"}}, "$defs": {"Id": {"type": "string"}}}
TOOLS = (
    ProductionTool(
        "get_ticket",
        "a ticket",
        {
            "type": "object",
            "properties": {"id": {"$ref": "#/$defs/Id"}, "node": {"$ref": "#/$defs/Node"}},
            "required": ["id"],
            "additionalProperties": False,
            "$defs": {
                "Id": {"type": "string", "maxLength": 9},
                "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}},
            },
        },
        TICKET,
        {"type": "object", "properties": {"detail": {"type": "string"}}},
    ),
    ProductionTool("list_tickets", "", {"type": "object", "properties": {}}),
)


def written(tmp_path, doc, name="production.json"):
    path = tmp_path / name
    text = doc if isinstance(doc, str) else json.dumps(doc, indent=1)
    if name.endswith((".yaml", ".yml")) and not isinstance(doc, str):
        text = yaml.safe_dump(doc, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def without(tools, *missing):
    return tuple(
        ProductionTool(
            tool.name,
            tool.description,
            tool.request,
            *(None if key in missing else getattr(tool, key) for key in ("response", "error")),
        )
        for tool in tools
    )


@pytest.mark.parametrize("name", ["production.json", "production.yaml"])
@pytest.mark.parametrize("form", ["json-schema", "openapi", "mcp"])
def test_what_is_written_in_a_form_is_read_back_from_it(tmp_path, form, name):
    read = load_production(written(tmp_path, document_of(TOOLS, form), name))
    expected = without(TOOLS, "error") if form == "mcp" else TOOLS
    if form != "openapi":
        assert read == expected
        return
    # Definitions of one name that differ are told apart by new names; what the schemas accept is the same.
    assert [(tool.name, tool.description, tool.error) for tool in read] == [
        (tool.name, tool.description, tool.error) for tool in TOOLS
    ]
    for value in (
        {"id": "T1"},
        {"id": "T123456789"},
        {"id": "a", "node": {"next": {"next": {}}}},
        {"id": "a", "node": {"next": 1}},
        {"x": 1},
    ):
        for ours, theirs in zip(TOOLS, read, strict=True):
            for schema in ("request", "response"):
                both = [getattr(tool, schema) for tool in (ours, theirs)]
                assert both == [None, None] or valid(both[0], value) == valid(both[1], value)


def valid(schema, value):
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_an_environments_own_tools_are_published_and_read(shop, tmp_path):
    for form in ("mcp", "json-schema", "openapi"):
        write_production(shop.Shop(), tmp_path / "production.json", form)
        read = load_production(tmp_path / "production.json")
        assert [(tool.name, tool.description) for tool in read] == [
            (tool.name, tool.description) for tool in production_of(shop.Shop())
        ]
        assert dict(read[0].request) == dict(shop.Shop().schemas()[0]["function"]["parameters"])


class Part(BaseModel):
    name: str
    parts: list["Part"] = []


class Order(BaseModel):
    count: Annotated[int, Field(ge=1)]
    part: Part | None = None


@pytest.fixture
def fastapi_document():
    app = FastAPI()

    @app.get("/parts/{name}", operation_id="get_part", responses={404: {"model": Part}})
    def get_part(name: str, depth: Annotated[int, Query(ge=0, description="how deep")] = 1) -> Part:
        """One part."""
        raise HTTPException(404)

    @app.post("/orders/{number}", operation_id="order")
    def order(number: int, order: Order) -> dict[str, int]:
        return {}

    @app.put("/orders/{count}", operation_id="reorder")
    def reorder(count: int, order: Order) -> None: ...

    @app.put("/words", operation_id="words")
    def words(words: Annotated[list[str], Body()]) -> None: ...

    return app.openapi()


def test_a_real_services_openapi_gives_its_tools(fastapi_document):
    tools = {tool.name: tool for tool in tools_from_openapi(fastapi_document)}
    assert list(tools) == ["get_part", "order", "reorder", "words"]
    part = tools["get_part"]
    assert part.description == "One part."
    assert part.request["required"] == ["name"]
    assert part.request["properties"]["depth"] | {"title": ""} == {
        "type": "integer",
        "minimum": 0,
        "default": 1,
        "description": "how deep",
        "title": "",
    }
    assert valid(part.response, {"name": "a", "parts": [{"name": "b", "parts": []}]})
    assert not valid(part.response, {"name": "a", "parts": [{"parts": []}]})
    assert len(part.error["anyOf"]) == 2
    assert set(tools["order"].request["properties"]) == {"number", "count", "part"}
    assert valid(tools["order"].request, {"number": 1, "count": 1})
    assert not valid(tools["order"].request, {"number": 1, "count": 0})
    assert not valid(tools["order"].request, {"number": 1, "count": 1, "part": {}})
    # A field of the body that is called like a parameter: the body is one argument.
    assert set(tools["reorder"].request["properties"]) == {"count", "body"}
    assert tools["words"].request["required"] == ["body"]


def test_openapi_30s_own_dialect_is_translated():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True, "enum": ["x"]},
            "b": {"type": "number", "minimum": 1, "exclusiveMinimum": True},
            "nullable": {"$ref": "#/components/schemas/C"},
        },
    }
    doc = {
        "openapi": "3.0.3",
        "paths": {
            "/x": {
                "parameters": [{"$ref": "#/components/parameters/q"}],
                "post": {"operationId": "x.do", "requestBody": {"content": {"application/json": {"schema": schema}}}},
            }
        },
        "components": {
            "schemas": {"C": {"allOf": [{"type": "integer"}], "nullable": True}},
            "parameters": {"q": {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}}},
        },
    }
    (tool,) = tools_from_openapi(doc)
    assert tool.name == "x_do"
    assert tool.request["required"] == ["q"]
    for value, accepted in [
        ({"a": None}, True),
        ({"a": "y"}, False),
        ({"b": 1}, False),
        ({"b": 1.5}, True),
        ({"nullable": None}, True),
        ({"nullable": "1"}, False),
    ]:
        assert valid(tool.request, {"q": "", **value}) is accepted


def test_arguments_that_are_the_connections_are_no_arguments_of_the_agents():
    headers = [
        {"name": name, "in": place, "required": True, "schema": {}}
        for name, place in (("X-Id", "header"), ("sid", "cookie"))
    ]
    doc = {"openapi": "3.1.0", "paths": {"/x": {"get": {"operationId": "x", "parameters": headers}}}}
    assert tools_from_openapi(doc)[0].request["properties"] == {}


def openapi(**operation):
    return {"openapi": "3.1.0", "paths": {"/x/{id}": {"get": operation}}}


@pytest.mark.parametrize(
    ("doc", "message", "line"),
    [
        ("{", "broken JSON", 1),
        ('{"tools":\n {"a": {"request": {}},\n  "a": {}}}', "the key 'a' is given twice", 3),
        ('{"tools":\n\t{"a": {},\n\t"a": {}}}', "the key 'a' is given twice", 3),
        ("[]", "this is no schema file of tools", 1),
        ('{"swagger": "2.0"}', "no OpenAPI 3 document", 1),
        ('{\n"openapi": "2.0"}', "openapi '2.0'", 2),
        ('{"tools": []}', "there are no tools", 1),
        ('{"tools":\n [{"inputSchema": {}}]}', "a tool has no name", 2),
        (
            '{"tools":\n [{"name": "a", "inputSchema": {"type": "object"}},\n  {"name": "a", "inputSchema": {}}]}',
            "two tools are called 'a'",
            3,
        ),
        ('{"tools":\n [{"name": "a"}]}', "inputSchema is missing", 2),
        ('{"tools": [{"name": "a",\n "inputSchema": {"type": "string"}}]}', "does not describe an object", 2),
        (
            '{"tools": [{"name": "a",\n "inputSchema": {"type": "object", "properties": {"x":\n {"type": "txt"}}}}]}',
            "not a JSON Schema: 'txt'",
            3,
        ),
        ('{"tools": {"a": {\n"request": 3}}}', "a schema is int", 2),
        ('{"tools": {"a": {"request": {"type": "object"},\n"requests": {}}}}', "unknown key 'requests'", 2),
        ('{"tools": {"a":\n []}}', "a is list, not an object", 1),
        (openapi(), "GET /x/{id} has no operationId", 5),
        (openapi(operationId="x"), "{id} that is no path parameter", 5),
        (openapi(operationId="x", parameters=[{"$ref": "#/components/p"}]), "#/components/p leads nowhere", 9),
        (openapi(operationId="x", parameters=[{"$ref": "other.json#/p"}]), "leads out of the document", 9),
        (openapi(operationId="x", parameters={}), "parameters is dict, not a list", 7),
        ({"openapi": "3.1.0"}, "paths is missing", 1),
        ({"openapi": "3.1.0", "paths": {}}, "the document has no operations", 3),
    ],
)
def test_broken_files_name_file_and_line(tmp_path, doc, message, line):
    path = written(tmp_path, doc)
    with pytest.raises(EnvironmentFault) as fault:
        load_production(path)
    assert message in fault.value.what
    assert fault.value.where.split(" ")[0] == f"{path}:{line}"


def test_broken_yaml_names_its_line_too(tmp_path):
    for text, message, line in [
        ("tools:\n  a: {", "broken YAML", 3),
        ("tools:\n  a: {request: {type: object}}\n  a: {}", "given twice", 3),
        ("tools:\n  - inputSchema: {}", "a tool has no name", 2),
    ]:
        path = written(tmp_path, text, "production.yml")
        with pytest.raises(EnvironmentFault) as fault:
            load_production(path)
        assert message in fault.value.what
        assert fault.value.where.startswith(f"{path}:{line}")


def test_yamls_numbers_and_dates_are_read_as_json_would_have_them(tmp_path):
    text = """
openapi: 3.1.0
info: {version: 2026-01-01}
paths:
  /x:
    get:
      operationId: x
      responses:
        200: {content: {application/json: {schema: {type: string}}}}
"""
    assert load_production(written(tmp_path, text, "x.yaml"))[0].response == {"type": "string"}


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path):
    with pytest.raises(EnvironmentFault, match="no such file"):
        load_production(tmp_path / "none.json")
    with pytest.raises(EnvironmentFault, match=r"cannot read \.txt"):
        load_production(tmp_path / "tools.txt")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        load_production(tmp_path / "bytes.json")


def test_documents_in_memory_name_the_place_within():
    for read, doc, where in [
        (tools_from_mcp, {"tools": [{}]}, "tools.0"),
        (tools_from_json_schema, {"tools": {"a": {}}}, "tools.a"),
        (tools_from_openapi, openapi(), "paths./x/{id}.get"),
        (tools_from_mcp, [], "tools"),
    ]:
        with pytest.raises(EnvironmentFault) as fault:
            read(doc)
        assert fault.value.where == where


def test_references_in_a_circle_are_a_fault():
    doc = openapi(operationId="x", parameters=[{"$ref": "#/components/a"}])
    doc["components"] = {"a": {"$ref": "#/components/b"}, "b": {"$ref": "#/components/a"}}
    with pytest.raises(EnvironmentFault, match="leads in a circle"):
        tools_from_openapi(doc)


def test_an_unknown_form_is_refused():
    with pytest.raises(EnvironmentFault, match="no form 'raml'"):
        document_of(TOOLS, "raml")
