"""Tools: types become schemas, and calls are checked against them."""

import enum
import functools
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from practicum.environment import Environment, ToolError, ToolSpec, read_only, tool
from practicum.environment.tool import ARGUMENT_LIMIT, collect_tools
from practicum.errors import EnvironmentFault
from practicum.tasks import Task


class Size(enum.StrEnum):
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


@pytest.mark.parametrize(("name", "reason"), [("_count", "begins with an underscore"), ("model_config", "settings")])
def test_a_parameter_that_would_never_arrive_is_refused_with_the_reason(name, reason):
    scope = {}
    exec(f"def look(self, {name}: int, key: str):\n    'Hidden.'\n", scope)
    with pytest.raises(EnvironmentFault, match=f"parameter '{name}' of tool 'look' .*{reason}") as caught:
        type("Hiding", (Environment,), {"look": tool(scope["look"])})
    assert caught.value.fix == "rename the parameter"


def test_other_names_of_what_checks_arguments_are_free():
    class Free(Environment):
        id, version = "free", "1"

        @tool
        def look(self, model_fields: int, json: str, copy: str, model_validate: int = 3) -> list:
            """Names of a model's own methods."""
            return [model_fields, json, copy, model_validate]

    free = Free()
    free.reset(Task("t", "p"), 0)
    assert free.call("look", {"model_fields": 1, "json": "a", "copy": "b"}).text == '[1,"a","b",3]'
    free.close()


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


# Names -------------------------------------------------------------------------------------------------------


def test_two_tools_of_one_name_are_refused_with_both_lines():
    with pytest.raises(EnvironmentFault, match="two tools are called 'look'") as caught:

        class Double(Environment):
            @tool
            def look(self):
                """first of the two"""

            @tool
            def look(self):  # noqa: F811
                """second of the two"""

    first, second = (line_of(f'"""{text} of the two"""') - 2 for text in ("first", "second"))
    assert caught.value.where == f"{__file__}:{second} and {__file__}:{first}"


def test_a_name_may_come_again_in_another_class_and_after_a_method_that_is_no_tool():
    class One(Environment):
        def look(self):
            """no tool"""

        @tool
        def look(self):  # noqa: F811
            """a tool"""

    class Two(Environment):
        @tool
        def look(self):
            """another"""

    assert [list(collect_tools(kind)) for kind in (One, Two)] == [["look"], ["look"]]


@pytest.mark.parametrize("order", ["tool over", "tool under"])
@pytest.mark.parametrize("kind", [staticmethod, classmethod, property])
def test_what_is_no_plain_method_is_refused_and_not_forgotten(order, kind):
    def look(self, key: str):
        """no self"""

    with pytest.raises(EnvironmentFault, match="'look' cannot be a tool: it is a") as caught:
        function = tool(kind(look)) if order == "tool over" else kind(tool(look))
        type("Static", (Environment,), {"look": function})
    assert f"{__file__}:{line_of('def look(self, key: str):')}" in caught.value.where


def test_a_parameter_that_cannot_be_given_by_name_is_refused():
    with pytest.raises(EnvironmentFault, match="parameter 'key' of tool 'look' cannot be given by name"):

        class Positional(Environment):
            @tool
            def look(self, key: str, /):
                """by place only"""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_id", "validate", "dict", "self_"])
def test_any_name_that_python_takes_is_fine_for_a_parameter(name):
    space = {}
    exec(f"def look(self, {name}: str):\n    'a look'\n    return {name}", space)
    look = tool(space["look"])
    kind = type("Named", (Environment,), {"id": "named", "version": "1", "look": look})
    environment = kind()
    environment.reset(Task("t", "x"), 0)
    assert environment.call("look", {name: "value"}).text == "value"
    assert environment.call("look", {}).text == f'{{"error":"invalid arguments for look: {name}: field required"}}'
    environment.close()


def test_types_that_cannot_be_resolved_for_any_reason_name_the_line():
    with pytest.raises(EnvironmentFault, match="a type of tool 'look' cannot be found: module 'enum' has no"):

        class Unknown(Environment):
            @tool
            def look(self, key: "enum.NoSuch"):
                """attribute of a module"""


# Arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": "x" * ARGUMENT_LIMIT}, f"at most {ARGUMENT_LIMIT} are taken"),
        ({"name": {"deep": "x" * ARGUMENT_LIMIT}}, f"at most {ARGUMENT_LIMIT} are taken"),
        ({"price": float("nan")}, "not JSON"),
        ({"price": float("-inf")}, "not JSON"),
        ({"price": "nan"}, "price: input should be a finite number"),
        ({"price": "1e999"}, "price: input should be a finite number"),
        ({"name": "\ud800"}, "not JSON"),
        ({"name": b"x"}, "not JSON"),
        ([1], "not JSON"),
        (None, "not JSON"),
        ({"name": 10**5000}, "not JSON"),
    ],
)
def test_arguments_are_limited_finite_and_json_whatever_the_tools_own_bounds(arguments, problem):
    if isinstance(arguments, dict):
        arguments = {"name": "x", "count": 1, "price": 0.5, "gift": True, **arguments}
    with pytest.raises(ToolError) as caught:
        TOOLS["plain"].check(arguments)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_arguments_just_within_the_limit_are_taken():
    kind = type("Any", (Environment,), {"look": tool(_look)})
    longest = ARGUMENT_LIMIT - len('{"text": ""}')
    assert collect_tools(kind)["look"].check({"text": "é" * longest}) == {"text": "é" * longest}
    with pytest.raises(ToolError, match=f"have {ARGUMENT_LIMIT + 1} characters"):
        collect_tools(kind)["look"].check({"text": "é" * (longest + 1)})


def _look(self, text: str):
    """any text"""


def test_nested_arguments_are_the_tools_own_copy():
    given = {"items": [{"name": "x", "count": 1}], "notes": {"a": "b"}}
    TOOLS["nested"].check(given)["notes"].clear()
    spec = ToolSpec.from_schema("take", "", {"type": "object"}, dict)
    spec.check(given)["items"].clear()
    assert given == {"items": [{"name": "x", "count": 1}], "notes": {"a": "b"}}


@pytest.mark.parametrize(
    "thing", [7, read_only(dict), functools.partial(print, "x")], ids=["number", "state", "partial"]
)
def test_what_is_no_function_at_all_is_refused_with_what_it_is(thing):
    with pytest.raises(EnvironmentFault, match=f"cannot be a tool: it is a {type(thing).__name__}"):
        tool(thing)
