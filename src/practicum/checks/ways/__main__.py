"""``python -m practicum.checks.ways SOCKET DESCRIPTOR WORLD``: a warm process of one world, forked for every stage.

An environment is played once before anyone else's is loaded: what Python and its libraries put off until it is needed
first is then there, in one process for all of its forks.
"""

import asyncio
import gc
import pickle
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

from pydantic import Field

from practicum.checks.episodes import Plan, play
from practicum.checks.processes import work
from practicum.checks.processes.fork_server import listen, serve, speak_into
from practicum.checks.processes.world import Surroundings, arrange
from practicum.checks.watch.settings import settings_now
from practicum.checks.ways import abandoned, interleaved, repeated, solo, threaded, watched
from practicum.environment import Call, Environment, tool
from practicum.tasks import Task

LOADED = (abandoned, interleaved, repeated, solo, threaded, watched)


class Warm(Environment):
    """Uses a little of everything."""

    id, version = "warm", "1"

    @tool
    def count(self, number: Annotated[int, Field(ge=0, le=9)], name: Annotated[str, Field(max_length=9)] = "") -> int:
        """A number."""
        self.database.execute("create table if not exists numbers (number integer)")
        (self.scratch / "name.txt").write_text(name, encoding="utf-8")
        return number + self.random.randint(0, 9)

    @tool
    async def wait(self) -> str:
        """Nothing."""
        await asyncio.sleep(0)
        return self.clock.now().isoformat()


def warm_up() -> None:
    """Play it."""
    calls = (Call("count", {"number": 1}), Call("wait", {}), Call("count", {"number": "x"}), Call("none", {}))
    play(Warm(), Task("warm", "Count."), Plan("train", 0, "warm", 0, calls, "random"), Path(__file__).parent)
    settings_now()


def main() -> None:
    """Warm up, say so, and answer until the caller ends."""
    path, keeper = Path(sys.argv[1]), Connection(int(sys.argv[2]))
    world: Surroundings = pickle.loads(bytes.fromhex(sys.argv[3]))
    speak_into(path.with_suffix(".log"))
    arrange(world)
    warm_up()
    listener = listen(path)
    gc.collect()
    gc.freeze()
    keeper.send("ready")
    serve(listener, keeper, work.load_a_stage)


if __name__ == "__main__":
    main()
