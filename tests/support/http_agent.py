"""The server around an agent, as an author writes it with the standard library: healthy, and one answer per rollout."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

Order = dict[str, Any]
"""The body of ``POST /rollout``."""


@contextlib.contextmanager
def http_agent(
    answer: Callable[[Order], tuple[int, Any]], *, port: int = 0, server: type[HTTPServer] = ThreadingHTTPServer
) -> Iterator[str]:
    """Serve an agent that answers each order with a status and a body; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"status": "healthy"})

        def do_POST(self) -> None:
            self._send(*answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _send(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(server):  # type: ignore[misc, valid-type]
        daemon_threads = True
        request_queue_size = 64

    serving = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}"
    finally:
        serving.shutdown()
        serving.server_close()
