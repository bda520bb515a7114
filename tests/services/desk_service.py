"""A live service for the tests of the recorder: a help desk on FastAPI, with logins, errors and moods."""

import contextlib
import itertools
import socket
import threading
import time
from collections import Counter
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

KEY = "k-55aa77cc99ee"
TICKETS = {f"T{n}": {"severity": "high" if n % 2 else "low", "account_id": f"A{n}"} for n in range(1, 6)}


class Ticket(BaseModel):
    severity: str
    account_id: str


class Login(BaseModel):
    user: str
    password: str


class Session(BaseModel):
    access_token: str
    mail: str = "ann@desk.example"


def desk() -> FastAPI:
    app = FastAPI(title="Desk", version="2.1")
    app.state.asked = Counter()
    app.state.logins = itertools.count(1)
    app.state.mood = []

    @app.middleware("http")
    async def guard(request, call_next):
        app.state.asked[request.url.path] += 1
        if app.state.mood:
            return Response(status_code=app.state.mood.pop(0), headers={"retry-after": "0"})
        if not request.url.path.endswith("openapi.json") and request.headers.get("authorization") != f"Bearer {KEY}":
            return Response(status_code=401)
        return await call_next(request)

    @app.get("/tickets/{ticket_id}", operation_id="get_ticket")
    def get_ticket(ticket_id: str) -> Ticket:
        """A ticket."""
        if ticket_id not in TICKETS:
            raise HTTPException(404, "no such ticket")
        return Ticket(**TICKETS[ticket_id])

    @app.get("/tickets", operation_id="find_tickets")
    def find_tickets(
        severity: Annotated[list[str], Query()] = (), limit: int = 10, open: bool | None = None
    ) -> list[str]:
        """Numbers of tickets."""
        found = [id for id, ticket in TICKETS.items() if not severity or ticket["severity"] in severity]
        return [*found[:limit], *([f"open={open}"] if open is not None else [])]

    @app.post("/login", operation_id="login")
    def login(login: Login) -> Session:
        """Log in; a new token each time."""
        if login.password != "correct-horse-1":
            raise HTTPException(403, f"wrong password {login.password} for {login.user}")
        return Session(access_token=f"tok{next(app.state.logins):04d}abcdef")

    @app.get("/mine", operation_id="my_tickets")
    def my_tickets(session: str, note: Annotated[str, Header()] = "") -> dict[str, str]:
        """Tickets of whoever is logged in."""
        if not session.startswith("tok"):
            raise HTTPException(403, "who are you?")
        return {"tickets": "T1, T2", "link": f"https://desk.example/mine?session={session}"}

    @app.get("/echo", operation_id="echo", response_class=PlainTextResponse)
    def echo(text: str, authorization: Annotated[str, Header()] = "") -> str:
        """What was sent."""
        return f"{text} / {authorization}"

    @app.get("/now", operation_id="now")
    def now() -> dict[str, float]:
        """The time."""
        return {"tick": float(next(app.state.logins))}

    @app.get("/picture", operation_id="picture")
    def picture() -> Response:
        """Bytes."""
        return Response(b"\x89PNG", media_type="image/png")

    @app.delete("/tickets/{ticket_id}", operation_id="delete_ticket", status_code=204)
    def delete_ticket(ticket_id: str) -> None:
        """Nothing comes back."""

    @app.put("/names/{name}", operation_id="rename")
    def rename(name: str) -> str:
        """A path of any characters."""
        return name

    return app


@contextlib.contextmanager
def serving(app):
    """The service on a free port, on uvicorn in a thread; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
