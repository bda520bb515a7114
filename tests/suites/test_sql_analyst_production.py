"""The schemas that a production service would publish are those the agent is trained with, and results obey them."""

import json
from random import Random

import jsonschema
import pytest

from practicum.checks.actions import random_calls, values_in
from practicum.services.production import document_of, load_production, production_of
from practicum.suites.sql_analyst import SqlAnalyst


@pytest.fixture(scope="module")
def published():
    return {tool.name: tool for tool in load_production(SqlAnalyst().folder / "production.json")}


def test_the_file_has_the_form_of_json_schemas_by_name(published):
    document = json.loads((SqlAnalyst().folder / "production.json").read_text())
    assert document_of(published.values(), "json-schema") == document
    for tool in published.values():
        for schema in (tool.request, tool.response, tool.error):
            jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_production_publishes_exactly_the_tools_there_are(level, published):
    ours = {tool.name: tool for tool in production_of(SqlAnalyst(level))}
    assert ours.keys() == published.keys()
    for name, tool in ours.items():
        assert tool.request == published[name].request
        assert tool.description == published[name].description


def test_every_response_and_every_error_is_of_the_published_form(published):
    valid = {name: jsonschema.Draft202012Validator(tool.response) for name, tool in published.items()}
    error = {name: jsonschema.Draft202012Validator(tool.error) for name, tool in published.items()}
    answered, failed = set(), set()
    for level in (1, 4):
        analyst = SqlAnalyst(level, distractors=6)
        for number, task in enumerate(analyst.tasks("validation")):
            analyst.reset(task, 0)
            oracle, result, seen = analyst.oracle(task), None, []
            try:
                while True:
                    call = oracle.send(result)
                    result = json.loads(analyst.call(call.name, call.arguments).text)
                    valid[call.name].validate(result)
                    answered.add(call.name)
                    seen += values_in([dict(call.arguments), result])
            except StopIteration:
                pass
            for call in random_calls(analyst.schemas(), seen, Random(number)):
                said = analyst.call(call.name, call.arguments)
                form = error.get(call.name, error["run_query"]) if said.is_error else valid[call.name]
                form.validate(json.loads(said.text))
                failed |= {call.name} if said.is_error else set()
            analyst.close()
    assert answered == set(published)
    assert failed >= set(published)
