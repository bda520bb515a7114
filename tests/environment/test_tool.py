"""Tools: types become schemas, and calls are checked against them."""

from enum import StrEnum
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from practicum.environment import Environment, ToolError, tool
from practicum.environment.tool import collect_tools
from practicum.errors import EnvironmentFault


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    name: str
    count: int = Field(ge=1, le=5)


class Shop(Environment):
    """Every kind of parameter."""

    id, version = "shop", "1"

    @tool
    def plain(self, name: str, count: int, price: float, gift: bool):
        """Four plain
        types."""

    @tool
    def bounded(
        self,
        count: Annotated[int, Field(ge=1, le=10)],
        code: Annotated[str, Field(max_length=4)] = "none",
        tags: Annotated[list[str], Field(max_length=2)] = [],  # noqa: B006
    ):
        """Bounds travel into the schema."""

    @tool
    def choice(self, size: Literal["small", "large"], other: Size, unit: Literal[1, 2] | None = None):
        """Enumerations."""

    @tool
    def nested(self, items: list[Item], notes: dict[str, str]):
        """Objects in lists."""

    @tool
    def nothing(self):
        return "ok"


TOOLS = collect_tools(Shop)


def parameters(name):
    return TOOLS[name].schema["function"]["parameters"]


def test_tools_come_in_order_of_definition_with_their_docstrings():
    schemas = Shop().schemas()
    assert [schema["function"]["name"] for schema in schemas] == ["plain", "bounded", "choice", "nested", "nothing"]
    assert {schema["type"] for schema in schemas} == {"function"}
    assert schemas[0]["function"]["description"] == "Four plain\ntypes."
    assert schemas[4]["function"]["description"] == ""


def test_plain_types():
    assert parameters("plain") == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "price": {"type": "number"},
            "gift": {"type": "boolean"},
        },
        "required": ["name", "count", "price", "gift"],
        "additionalProperties": False,
    }


def test_bounds_defaults_and_choices():
    fields = parameters("bounded")["properties"]
    assert fields["count"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert fields["code"] == {"type": "string", "maxLength": 4, "default": "none"}
    assert fields["tags"] == {"type": "array", "items": {"type": "string"}, "maxItems": 2, "default": []}
    assert parameters("bounded")["required"] == ["count"]
    assert parameters("choice")["properties"]["size"] == {"type": "string", "enum": ["small", "large"]}
    assert parameters("nothing").get("properties", {}) == {}


VALID = [
    ("plain", {"name": "x", "count": 3, "price": 0.5, "gift": True}),
    ("bounded", {"count": 10, "code": "abcd", "tags": ["a", "b"]}),
    ("choice", {"size": "small", "other": "large", "unit": 2}),
    ("nested", {"items": [{"name": "x", "count": 5}], "notes": {"a": "b"}}),
    ("nothing", {}),
]
INVALID = [
    ("plain", {"name": "x", "count": 3, "price": 0.5}, "gift: field required"),
    ("plain", {"name": 5, "count": 3, "price": 0.5, "gift": True}, "name: input should be a valid string"),
    ("plain", {"name": None, "count": 3, "price": 0.5, "gift": True}, "name: "),
    ("plain", {"name": "x", "count": 3.5, "price": 0.5, "gift": True}, "count: "),
    ("plain", {"name": "x", "count": [], "price": {}, "gift": True}, "price: "),
    ("bounded", {"count": 0}, "count: input should be greater than or equal to 1"),
    ("bounded", {"count": 11}, "count: input should be less than or equal to 10"),
    ("bounded", {"count": 1, "code": "abcde"}, "code: string should have at most 4 characters"),
    ("bounded", {"count": 1, "tags": ["a", "b", "c"]}, "tags: list should have at most 2 items"),
    ("choice", {"size": "huge", "other": "small"}, "size: input should be 'small' or 'large'"),
    ("nested", {"items": [{"name": "x", "count": 9}], "notes": {}}, "items.0.count: "),
    ("nothing", {"argument_1": "x"}, "argument_1: extra inputs are not permitted"),
]


@pytest.mark.parametrize(("name", "arguments"), VALID)
def test_valid_arguments_pass_the_check_and_the_published_schema(name, arguments):
    jsonschema.validate(arguments, parameters(name))
    checked = TOOLS[name].check(arguments)
    assert set(arguments) <= set(checked)


@pytest.mark.parametrize(("name", "arguments", "problem"), INVALID)
def test_invalid_arguments_fail_both(name, arguments, problem):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(arguments, parameters(name))
    with pytest.raises(ToolError) as caught:
        TOOLS[name].check(arguments)
    assert f"invalid arguments for {name}: " in str(caught.value)
    assert problem in str(caught.value)


def test_arguments_reach_the_method_as_its_types_and_defaults_are_filled():
    checked = TOOLS["nested"].check({"items": [{"name": "x", "count": 1}], "notes": {}})
    assert checked["items"] == [Item(name="x", count=1)]
    assert TOOLS["bounded"].check({"count": 2}) == {"count": 2, "code": "none", "tags": []}
    assert TOOLS["choice"].check({"size": "small", "other": "large"})["other"] is Size.LARGE


def test_a_default_list_is_not_shared_between_calls():
    TOOLS["bounded"].check({"count": 1})["tags"].append("mine")
    assert TOOLS["bounded"].check({"count": 1})["tags"] == []


def test_a_subclass_inherits_replaces_and_removes_tools():
    class Corner(Shop):
        @tool
        def plain(self, name: str):
            """Simpler."""

        @tool
        def extra(self):
            """New."""

        nothing = None

    assert list(collect_tools(Corner)) == ["plain", "bounded", "choice", "nested", "extra"]
    assert collect_tools(Corner)["plain"].description == "Simpler."
    assert TOOLS["plain"].description == "Four plain\ntypes."


def test_a_parameter_without_a_type_is_named_with_file_and_line():
    with pytest.raises(EnvironmentFault, match="parameter 'key' of tool 'look' has no type") as caught:

        class Untyped(Environment):
            @tool
            def look(self, key):
                """No type."""

    assert f"{__file__}:{line_of('def look(self, key)') - 1}" in str(caught.value)
    assert "annotate every parameter" in str(caught.value)


def line_of(text):
    with open(__file__) as stream:  # noqa: PTH123
        return next(number for number, line in enumerate(stream, start=1) if text in line)


def test_variable_arguments_are_refused():
    with pytest.raises(EnvironmentFault, match="takes variable arguments"):

        class Variable(Environment):
            @tool
            def look(self, *keys: str):
                """Any number."""


@pytest.mark.parametrize(
    "annotation", [object(), "NoSuchName", EnvironmentFault], ids=["no type", "unknown name", "plain class"]
)
def test_types_that_no_schema_expresses_are_named_with_file_and_line(annotation):
    def look(self, key):
        """Odd type."""

    look.__annotations__["key"] = annotation
    with pytest.raises(EnvironmentFault, match="tool 'look'") as caught:
        type("Odd", (Environment,), {"look": tool(look)})
    assert f"{__file__}:" in str(caught.value)
