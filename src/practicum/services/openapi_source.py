"""A service over HTTP as a source: its OpenAPI document says which calls there are."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from practicum.environment.tool import ToolError
from practicum.errors import EnvironmentFault
from practicum.services.documents import Misshapen, load_document
from practicum.services.openapi import Operation, is_json, operations_of
from practicum.services.production import Tools, tools_of
from practicum.services.sources import header_secrets

TRANSIENT = frozenset({429, 502, 503, 504})
"""Answers that say: not now. They are asked again, and never recorded."""

LONGEST_WAIT_S = 30.0
ERROR_LIMIT = 2000
"""Characters of an error's text."""

LARGEST = 64 * 2**20
"""Bytes of one answer."""

MOST_REDIRECTS = 10


class OpenApiSource:
    """Calls the operations of an OpenAPI 3 service.

    Args:
        document: Address of the document, or of the service (then ``/openapi.json`` is asked for), or a local file.
        base_url: Where the service is; by default what the document says, relative to its own address.
        headers: Sent with every request, such as ``Authorization``. They are kept out of the recording.
        timeout_s: Seconds for one request and the whole of its answer, however slowly it trickles.
        attempts: How often a request is made that the service answers with *not now* (429, 502, 503, 504).

    A redirect to another host is followed without ``headers`` and cookies: they were given for this one.
    An answer of status 400 or above is recorded as the tool's error, but 401: a recording of refusals is of no use.

    Raises:
        EnvironmentFault: there is no document, it is broken, or it leads to another host than its own while headers
            are given (then say ``base_url``, to be sure who gets them).
    """

    def __init__(
        self,
        document: str | Path,
        *,
        base_url: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
    ) -> None:
        import httpx

        self.secrets: Iterable[str] = header_secrets(headers or {})
        self._attempts = attempts
        self._headers, self._timeout_s = dict(headers or {}), timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)
        try:
            doc, place = self._document(str(document))
            self._operations = {operation.name: operation for operation in _read(doc, place)}
            self._base = {
                name: _base(operation, place, base_url, trusting=not headers)
                for name, operation in self._operations.items()
            }
        except BaseException:
            self._client.close()
            raise
        info = doc.get("info") if isinstance(doc.get("info"), Mapping) else {}
        self.name = f"openapi: {info.get('title', '')} {info.get('version', '')}".strip()
        self.tools: Tools = tools_of(self._operations.values())

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """See ``Source``."""
        operation = self._operations[tool]
        if operation.problem:
            raise EnvironmentFault(f"{tool} cannot be recorded: {operation.problem}", fix="record the other tools only")
        return _answer(tool, self._response(tool, operation, arguments))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _response(self, tool: str, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        path, query, body = _parts(operation, arguments)
        sent = {} if body is None else {"json": body} if operation.encoding == "json" else {"data": body}
        url = self._base[tool] + path
        for attempt in range(1, self._attempts + 1):
            response = self._request(tool, operation.method.upper(), url, params=query, **sent)
            if response.status_code not in TRANSIENT:
                return response
            if attempt < self._attempts:
                sleep(_wait(response, attempt))
        raise EnvironmentFault(
            f"{tool} was answered with status {response.status_code} {self._attempts} times",
            where=url,
            fix="record when the service is well, or more slowly",
        )

    def _request(self, tool: str, method: str, url: str, **sent: Any) -> Any:
        import httpx

        deadline = monotonic() + self._timeout_s
        try:
            request = self._client.build_request(method, url, headers=self._headers, **sent)
            for _ in range(MOST_REDIRECTS):
                response, following = self._received(tool, request, deadline)
                if following is None:
                    return response
                request = self._redirected(request, following)
        except httpx.HTTPError as error:
            raise EnvironmentFault(
                f"{tool} got no answer: {type(error).__name__}: {error}", where=url, fix="check address and network"
            ) from error
        raise EnvironmentFault(f"{tool} was redirected {MOST_REDIRECTS} times", where=url, fix="give base_url")

    def _received(self, tool: str, request: Any, deadline: float) -> tuple[Any, Any]:
        """A whole answer, and the request that it redirects to; what trickles or has no end is given up."""
        import httpx

        response = self._client.send(request, stream=True)
        try:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                late = monotonic() > deadline
                if late or len(body) > LARGEST:
                    what = f"not whole within {self._timeout_s:g} s" if late else f"larger than {LARGEST >> 20} MiB"
                    raise EnvironmentFault(
                        f"the answer of {tool} was {what}",
                        where=str(request.url),
                        fix="record when the service is well, or the other tools only",
                    )
        finally:
            response.close()
        # What was received is decoded already.
        kept = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE]
        whole = httpx.Response(response.status_code, headers=kept, content=bytes(body), request=request)
        return whole, response.next_request

    def _redirected(self, before: Any, request: Any) -> Any:
        """The request that follows a redirect: with our headers to the same host, to another one without."""
        for name in {*self._headers, "authorization", "proxy-authorization", "cookie"}:
            request.headers.pop(name, None)
        if _same_host(before.url, request.url):
            request.headers.update(self._headers)
        elif request.headers.get("content-length", "0") != "0":
            raise EnvironmentFault(
                f"the service hands the arguments on to {request.url.host}, which they were not given to",
                where=str(before.url),
                fix="give base_url, to be sure who gets them",
            )
        self._client.cookies.set_cookie_header(request)
        return request

    def _document(self, place: str) -> tuple[Any, str]:
        """The document, and where it was found."""
        if not place.startswith(("http://", "https://")):
            return load_document(Path(place)), Path(place).resolve().as_uri()
        for url in dict.fromkeys([place, place.rstrip("/") + "/openapi.json"]):
            response = self._request("the OpenAPI document", "GET", url)
            doc = _parsed(response.text) if response.status_code == 200 else None
            if isinstance(doc, Mapping) and "openapi" in doc:
                return doc, str(response.url)
        raise EnvironmentFault(
            f"there is no OpenAPI document (status {response.status_code})",
            where=place,
            fix="give the address of the document itself, or a file of it",
        )


_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def _same_host(before: Any, after: Any) -> bool:
    """Whether two addresses are one host's: scheme, name and port; or the same name's, from http to https."""
    ports = {"http": 80, "https": 443}
    first, second = ((url.scheme, url.host, url.port or ports.get(url.scheme)) for url in (before, after))
    return first == second or (first, second) == (("http", before.host, 80), ("https", before.host, 443))


def _read(doc: Any, place: str) -> tuple[Operation, ...]:
    try:
        return operations_of(doc)
    except Misshapen as error:
        local = urlsplit(place)
        if local.scheme == "file":
            raise error.at(Path(local.path)) from error
        raise EnvironmentFault(
            error.what, where=f"{place} ({error.where})", allowed=error.allowed, fix=error.fix
        ) from error


def _base(operation: Operation, place: str, base_url: str, *, trusting: bool) -> str:
    url = base_url or urljoin(place, operation.server or "/")
    if urlsplit(url).scheme not in ("http", "https"):
        raise EnvironmentFault(
            f"the document does not say where the service is ({operation.server or 'no servers'})",
            where=place,
            fix="give base_url",
        )
    if not base_url and not trusting and urlsplit(url)[:2] != urlsplit(place)[:2] and not place.startswith("file:"):
        raise EnvironmentFault(
            f"the document leads to {url}, which would get your headers too", where=place, fix="give base_url"
        )
    return url.rstrip("/")


def _parts(operation: Operation, arguments: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]], Any]:
    """Path, query and body of a request."""
    path, query, arguments_left = operation.path, list[tuple[str, str]](), dict(arguments)
    for name, parameter in operation.parameters.items():
        value = arguments_left.pop(name, None)
        if parameter.as_json and value is not None:
            value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if parameter.place == "path":
            path = path.replace(f"{{{name}}}", ",".join(quote(item, safe="") for item in _texts(value)))
        elif isinstance(value, Mapping) and parameter.style == "deepObject":
            query += [(f"{name}[{key}]", text) for key, item in value.items() for text in _texts(item)]
        elif isinstance(value, Mapping):
            pairs = [(str(key), text) for key, item in value.items() for text in _texts(item)]
            query += pairs if parameter.explode else [(name, ",".join(text for pair in pairs for text in pair))]
        elif isinstance(value, list) and not parameter.explode:
            query.append((name, ",".join(_texts(value))))
        else:
            query += [(name, text) for text in _texts(value)]
    if operation.body == "whole":
        return path, query, arguments_left.get("body")
    sends = operation.body == "field" and (arguments_left or operation.body_required)
    return path, query, arguments_left if sends else None


def _texts(value: Any) -> list[str]:
    """A value as it stands in an address; several for a list, none for null."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if value is None:
        return []
    return [json.dumps(value) if isinstance(value, bool | int | float | dict) else str(value)]


def _answer(tool: str, response: Any) -> Any:
    status, kind = response.status_code, response.headers.get("content-type", "")
    if status == 401:
        raise EnvironmentFault(
            f"the service refuses to answer {tool}: status 401",
            where=str(response.url),
            fix="give it an Authorization header",
        )
    value: Any = None
    if response.content:
        if is_json(kind):
            value = _parsed(response.text)
        elif kind.startswith("text/") or status >= 400:
            value = response.text
        else:
            raise EnvironmentFault(
                f"{tool} answered with {kind or 'bytes of no type'}, which is neither JSON nor text",
                where=str(response.url),
                fix="record the other tools only",
            )
    if status >= 400:
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        raise ToolError(f"HTTP {status}" if value is None else f"HTTP {status}: {text[:ERROR_LIMIT]}")
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnvironmentFault(
            f"the service says that this is JSON, and it is not: {error}", where=text[:200]
        ) from error


def _wait(response: Any, attempt: int) -> float:
    asked = response.headers.get("retry-after", "")
    return min(float(asked) if asked.isdigit() else 0.25 * 2**attempt, LONGEST_WAIT_S)
