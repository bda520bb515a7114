"""A real service over HTTP, described by its own OpenAPI document, is recorded and replayed."""

import json
import socket

import httpx
import pytest

from practicum.environment import ToolError
from practicum.errors import EnvironmentFault
from practicum.services import OpenApiSource, Recorder, Recording


def ask(desk, name, /, **arguments):
    source = OpenApiSource(desk.url, headers=desk.headers)
    try:
        return source.call(name, arguments)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("get_ticket", {"ticket_id": "T1"}, {"severity": "high", "account_id": "A1"}),
        ("find_tickets", {}, ["T1", "T2", "T3", "T4", "T5"]),
        ("find_tickets", {"severity": ["high"], "limit": 2, "open": True}, ["T1", "T3", "open=True"]),
        ("find_tickets", {"severity": ["high", "low"], "limit": 1, "open": None}, ["T1"]),
        ("delete_ticket", {"ticket_id": "T1"}, None),
        ("rename", {"name": "a b é?&#%"}, "a b é?&#%"),
        ("echo", {"text": "é & =?"}, "é & =? / Bearer k-55aa77cc99ee"),
    ],
)
def test_arguments_reach_the_service_and_its_answers_come_back(desk, name, arguments, answer):
    assert ask(desk, name, **arguments) == answer


def test_errors_of_the_service_are_tool_errors_with_status_and_reason(desk):
    for name, arguments, text in [
        ("get_ticket", {"ticket_id": "T9"}, 'HTTP 404: {"detail":"no such ticket"}'),
        ("my_tickets", {"session": "x"}, 'HTTP 403: {"detail":"who are you?"}'),
        ("find_tickets", {"limit": "many"}, "HTTP 422: "),
    ]:
        with pytest.raises(ToolError) as error:
            ask(desk, name, **arguments)
        assert str(error.value).startswith(text)


def test_a_whole_session_is_recorded_without_its_secrets_and_replays_without_the_service(desk, tmp_path):
    path = tmp_path / "desk.json"
    with Recorder(OpenApiSource(desk.url, headers=desk.headers), path) as record:
        for _ in range(2):
            token = record.answer("login", {"user": "ann", "password": "correct-horse-1"})["access_token"]
            record.calls([("my_tickets", {"session": token}), ("get_ticket", {"ticket_id": "T1"})])
        record.calls([("login", {"user": "ann", "password": "wr0ng-battery"}), ("echo", {"text": "hello"})])
    text = path.read_text()
    for secret in ("k-55aa77cc99ee", "correct-horse-1", "wr0ng-battery", "tok000"):
        assert secret not in text
    assert record.saved.calls == 5
    asked = dict(desk.state.asked)
    replayed = Recording.load(path)
    assert replayed.source == "openapi: Desk 2.1"
    login = replayed.answer("login", {"user": "ann", "password": "<password-1>"})
    assert login["access_token"] == "<token-2>"
    mine = replayed.answer("my_tickets", {"session": login["access_token"]})
    assert mine["link"] == f"https://desk.example/mine?session={login['access_token']}"
    with pytest.raises(ToolError, match=r"403.*wrong password <password-2> for ann"):
        replayed.answer("login", {"user": "ann", "password": "<password-2>"})
    assert replayed.answer("echo", {"text": "hello"}) == "hello / Bearer <token-1>"
    tools = {tool.name: tool for tool in replayed.tools}
    assert tools["get_ticket"].description == "A ticket."
    assert set(tools["get_ticket"].response["properties"]) == {"severity", "account_id"}
    assert tools["find_tickets"].request["properties"]["limit"]["default"] == 10
    assert dict(desk.state.asked) == asked


def test_a_service_that_is_busy_is_asked_again_and_its_excuses_are_not_recorded(desk):
    source = OpenApiSource(desk.url, headers=desk.headers)
    desk.state.mood += [503, 429]
    assert source.call("get_ticket", {"ticket_id": "T1"})["severity"] == "high"
    desk.state.mood += [503] * 4
    with pytest.raises(EnvironmentFault, match="status 503 4 times"):
        source.call("get_ticket", {"ticket_id": "T1"})
    desk.state.mood += [500]
    with pytest.raises(ToolError, match="HTTP 500"):
        source.call("get_ticket", {"ticket_id": "T1"})
    source.close()


def test_refused_credentials_stop_the_recording_and_are_not_recorded(desk, tmp_path):
    with (
        pytest.raises(EnvironmentFault, match=r"(?s)status 401.*Authorization"),
        Recorder(OpenApiSource(desk.url), tmp_path / "x.json") as record,
    ):
        record.calls([("get_ticket", {"ticket_id": "T1"})])
    assert not list(tmp_path.iterdir())


def test_a_nondeterministic_answer_is_found_when_it_is_asked_twice(desk, tmp_path):
    with (
        pytest.raises(EnvironmentFault, match=r"now\(\{\}\) was answered in two ways"),
        Recorder(OpenApiSource(desk.url, headers=desk.headers), tmp_path / "x.json") as record,
    ):
        record.calls([("now", {})], repeat=2)


def test_bytes_are_no_answer_a_recording_could_hold(desk):
    with pytest.raises(EnvironmentFault, match="image/png"):
        ask(desk, "picture")


def test_a_service_that_is_gone_is_a_fault_and_no_answer(desk, desk_module):
    with desk_module.serving(desk_module.desk()) as url:
        source = OpenApiSource(url, headers=desk.headers)
    with pytest.raises(EnvironmentFault, match="got no answer: ConnectError"):
        source.call("get_ticket", {"ticket_id": "T1"})
    source.close()


def test_the_document_may_be_a_file_that_says_where_the_service_is_or_is_told(desk, tmp_path):
    doc = httpx.get(f"{desk.url}/openapi.json").json()
    path = tmp_path / "desk.json"
    path.write_text(json.dumps(doc))
    with pytest.raises(EnvironmentFault, match="does not say where the service is"):
        OpenApiSource(path, headers=desk.headers)
    told = OpenApiSource(path, base_url=desk.url, headers=desk.headers)
    assert told.call("get_ticket", {"ticket_id": "T2"})["severity"] == "low"
    told.close()
    path.write_text(
        json.dumps(
            {**doc, "servers": [{"url": "{scheme}:" + desk.url[5:], "variables": {"scheme": {"default": "http"}}}]}
        )
    )
    says = OpenApiSource(path, headers=desk.headers)
    assert says.call("get_ticket", {"ticket_id": "T2"})["severity"] == "low"
    says.close()


def test_headers_do_not_follow_a_document_to_another_host(desk_module):
    app = desk_module.desk()
    app.servers = [{"url": "https://elsewhere.example/api"}]
    with desk_module.serving(app) as url:
        OpenApiSource(url).close()
        with pytest.raises(
            EnvironmentFault, match=r"leads to https://elsewhere\.example/api/?, which would get your headers"
        ):
            OpenApiSource(url, headers={"Authorization": "Bearer x1y2z3"})
        OpenApiSource(url, base_url=url, headers={"Authorization": "Bearer x1y2z3"}).close()


def test_addresses_without_a_document_are_clear_errors(desk_module, tmp_path):
    with (
        desk_module.serving(desk_module.desk()) as url,
        pytest.raises(EnvironmentFault, match="there is no OpenAPI document"),
    ):
        OpenApiSource(f"{url}/nowhere")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(EnvironmentFault, match="got no answer"):
        OpenApiSource(f"http://127.0.0.1:{port}")
    (tmp_path / "x.json").write_text('{"openapi": "3.1.0",\n"paths": {"/x": {"get": {}}}}')
    with pytest.raises(EnvironmentFault, match="no operationId") as fault:
        OpenApiSource(tmp_path / "x.json")
    assert f"{tmp_path / 'x.json'}:2" in fault.value.where


def test_every_style_of_parameters_goes_where_the_document_says():
    from practicum.services.openapi import operations_of
    from practicum.services.openapi_source import _parts

    def parameter(name, place, **more):
        return {"name": name, "in": place, "required": place == "path", "schema": {}, **more}

    listed = [
        parameter("id", "path"),
        parameter("many", "query"),
        parameter("joined", "query", explode=False),
        parameter("deep", "query", style="deepObject"),
        parameter("flat", "query"),
        {"name": "packed", "in": "query", "content": {"application/json": {"schema": {}}}},
    ]
    content = {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"a": {}, "b": {}}}}}
    doc = {
        "openapi": "3.1.0",
        "paths": {"/x/{id}": {"post": {"operationId": "x", "parameters": listed, "requestBody": {"content": content}}}},
    }
    (operation,) = operations_of(doc)
    arguments = {
        "id": ["a/b", 2],
        "many": [1, True],
        "joined": ["x", "y"],
        "deep": {"k": [1, 2]},
        "flat": {"p": 1, "q": "r"},
        "packed": {"z": [1]},
        "a": 1,
    }
    path, query, body = _parts(operation, arguments)
    assert path == "/x/a%2Fb,2"
    assert query == [
        ("many", "1"),
        ("many", "true"),
        ("joined", "x,y"),
        ("deep[k]", "1"),
        ("deep[k]", "2"),
        ("p", "1"),
        ("q", "r"),
        ("packed", '{"z":[1]}'),
    ]
    assert (body, operation.encoding) == ({"a": 1}, "form")
    assert _parts(operation, {"id": 1})[2] is None
