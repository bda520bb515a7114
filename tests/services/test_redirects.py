"""What lets us in goes to the host it was given for, and an answer has an end."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from practicum.errors import EnvironmentFault
from practicum.services import OpenApiSource, openapi_source

GIVEN = {
    "Authorization": "Bearer s3cret-one",
    "X-Api-Key": "s3cret-two",
    "Cookie": "sid=s3cret-three",
    "X-Tenant-Token": "s3cret-four",
}


def document(method: str = "get") -> bytes:
    answer = {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object"}}}}}
    paths = {"/look": {method: {"operationId": "look", "responses": answer}}}
    return json.dumps({"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": paths}).encode()


@contextmanager
def served(answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives ``answer(path)``: (status, headers, body parts); and the secrets it was sent."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append({name: value for name, value in self.headers.items() if "s3cret" in value})
            status, headers, parts = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in parts:
                self.wfile.write(part)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


JSON = {"Content-Type": "application/json"}


def asked(url: str, **more) -> object:
    source = OpenApiSource(f"{url}/openapi.json", headers=GIVEN, **more)
    try:
        return source.call("look", {})
    finally:
        source.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_credential_follows_a_redirect_to_another_host(status, method):
    with served(lambda path: (200, JSON, [b'{"a": 1}'])) as (other, sent):
        elsewhere = other.replace("127.0.0.1", "localhost")

        def service(path: str):
            if path == "/openapi.json":
                return 200, {}, [document(method)]
            return status, {"Location": f"{elsewhere}/there", "Content-Length": "0"}, []

        with served(service) as (url, heard):
            assert asked(url) == {"a": 1}
    assert sent == [{}]
    assert heard[-1] == GIVEN


def test_arguments_in_a_body_are_not_handed_on_to_another_host_either():
    login = json.loads(document("post"))
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"pin": {"type": "string"}}}}}}
    login["paths"]["/look"]["post"]["requestBody"] = body
    with served(lambda path: (200, JSON, [b"{}"])) as (other, sent):

        def service(path: str):
            if path == "/openapi.json":
                return 200, {}, [json.dumps(login).encode()]
            return 307, {"Location": f"{other}/x", "Content-Length": "0"}, []

        with served(service) as (url, _):
            source = OpenApiSource(f"{url}/openapi.json", headers=GIVEN)
            with pytest.raises(EnvironmentFault, match="hands the arguments on"):
                source.call("look", {"pin": "4711"})
            source.close()
    assert sent == []


def test_nor_one_to_another_port_of_the_same_name():
    with served(lambda path: (200, JSON, [b'{"a": 1}'])) as (other, sent):

        def service(path: str):
            return (200, {}, [document()]) if path == "/openapi.json" else (302, {"Location": f"{other}/x"}, [])

        with served(service) as (url, _):
            asked(url)
    assert sent == [{}]


def test_within_one_host_all_of_them_go_along_and_do_not_come_back_from_elsewhere():
    def other(path: str):
        return 302, {"Location": f"{home[0]}/last"}, []

    home: list[str] = []
    with served(other) as (away, sent):
        answers = {
            "/openapi.json": (200, {}, [document()]),
            "/look": (302, {"Location": "/moved"}, []),
            "/moved": (302, {"Location": f"{away}/x"}, []),
            "/last": (200, JSON, [b'{"b": 2}']),
        }
        with served(lambda path: answers[path]) as (url, heard):
            home.append(url)
            assert asked(url) == {"b": 2}
    assert sent == [{}]
    assert heard[1:] == [GIVEN, GIVEN, {}]


def test_the_documents_own_redirect_takes_none_along_either():
    with (
        served(lambda path: (200, {}, [document()])) as (other, sent),
        served(lambda path: (302, {"Location": f"{other}/openapi.json"}, [])) as (url, _),
    ):
        OpenApiSource(url, base_url=url, headers=GIVEN).close()
    assert sent == [{}]


def test_redirects_in_a_circle_come_to_an_end():
    with (
        served(
            lambda path: (200, {}, [document()]) if path == "/openapi.json" else (302, {"Location": "/look"}, [])
        ) as (url, heard),
        pytest.raises(EnvironmentFault, match="redirected 10 times"),
    ):
        asked(url)
    assert len(heard) == 1 + openapi_source.MOST_REDIRECTS


def test_an_answer_that_trickles_is_given_up_when_its_time_is_over(monkeypatch):
    parts = 0

    def trickle():
        nonlocal parts
        for _ in range(1000):
            parts += 1
            gate.acquire()
            yield b" "

    # The clock goes on by ten seconds with every part that arrives; the next part is sent only then.
    gate = threading.Semaphore(1)
    seconds = iter(range(0, 100_000, 10))

    def monotonic() -> int:
        gate.release()
        return next(seconds)

    with served(lambda path: (200, {}, [document()]) if path == "/openapi.json" else (200, JSON, trickle())) as (
        url,
        _,
    ):
        source = OpenApiSource(f"{url}/openapi.json", headers=GIVEN, timeout_s=30)
        monkeypatch.setattr(openapi_source, "monotonic", monotonic)
        with pytest.raises(EnvironmentFault, match="not whole within 30 s"):
            source.call("look", {})
        monkeypatch.undo()
        gate.release(1000)
        source.close()
    assert parts < 20


def test_an_answer_without_end_is_given_up_when_it_is_too_large(monkeypatch):
    monkeypatch.setattr(openapi_source, "LARGEST", 100_000)
    with (
        served(
            lambda path: (200, {}, [document()]) if path == "/openapi.json" else (200, JSON, [b" " * 10_000] * 100)
        ) as (url, _),
        pytest.raises(EnvironmentFault, match="larger than"),
    ):
        asked(url)
