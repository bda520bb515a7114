"""The schemas that a production service would publish are those the agent is trained with, and results obey them."""

import json
from random import Random

import jsonschema
import pytest

from practicum.checks.actions import random_calls, values_in
from practicum.services.production import load_production, production_of
from practicum.suites.code_repair import CodeRepair


@pytest.fixture(scope="module")
def listing():
    return json.loads((CodeRepair().folder / "production.json").read_text())


def test_the_file_lists_tools_as_mcp_does(listing):
    types = pytest.importorskip("mcp.types")
    tools = types.ListToolsResult.model_validate(listing).tools
    assert [tool.name for tool in tools] == [tool["name"] for tool in listing["tools"]]
    for tool in listing["tools"]:
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
    jsonschema.Draft202012Validator.check_schema(listing["_meta"]["practicum/errorSchema"])


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_production_publishes_exactly_the_tools_there_are(level):
    theirs = load_production(CodeRepair().folder / "production.json")
    ours = production_of(CodeRepair(level))
    assert [(one.name, one.description, one.request) for one in ours] == [
        (one.name, one.description, one.request) for one in theirs
    ]
    assert all(one.response is not None for one in theirs)


def test_every_response_and_every_error_is_of_the_published_form(listing):
    valid = {tool["name"]: jsonschema.Draft202012Validator(tool["outputSchema"]) for tool in listing["tools"]}
    error = jsonschema.Draft202012Validator(listing["_meta"]["practicum/errorSchema"])
    answered, failed = set(), set()
    for level in (1, 4):
        repair = CodeRepair(level, distractors=3)
        for number, task in enumerate(repair.tasks("validation")[:10]):
            repair.reset(task, 0)
            oracle, result, seen = repair.oracle(task), None, []
            try:
                while True:
                    call = oracle.send(result)
                    if call.name == "run_tests" and number > 2:
                        break  # each is a process of its own
                    result = json.loads(repair.call(call.name, call.arguments).text)
                    valid[call.name].validate(result)
                    answered.add(call.name)
                    seen += values_in([dict(call.arguments), result])
            except StopIteration:
                pass
            said = repair.call("write_file", {"path": "new.py", "text": "x = 1"})
            valid["write_file"].validate(json.loads(said.text))
            calls = [call for n in range(4) for call in random_calls(repair.schemas(), seen, Random(10 * number + n))]
            for call in calls:
                if call.name == "run_tests" and not call.arguments:
                    continue
                said = repair.call(call.name, call.arguments)
                (error if said.is_error else valid[call.name]).validate(json.loads(said.text))
                failed |= {call.name} if said.is_error else set()
            repair.close()
    assert answered | {"write_file"} == set(valid)
    assert failed >= {"read_file", "write_file", "replace"}


def test_tools_that_only_read_are_marked_as_such(listing):
    repair = CodeRepair(1)
    repair.reset(repair.tasks("validation")[0], 0)
    arguments = {"read_file": {"path": "tests.py"}}
    for tool in listing["tools"]:
        if tool["annotations"]["readOnlyHint"]:
            assert not repair.call(tool["name"], arguments.get(tool["name"], {})).is_error
    assert len(repair.transitions) == 3
    assert len({step.state for step in repair.transitions} | {repair.transitions[-1].next_state}) == 1
