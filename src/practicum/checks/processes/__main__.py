"""``python -m practicum.checks.processes SOCKET DESCRIPTOR``: a warm process of one world, forked for every stage."""

import gc
import pickle
import socket
import sys
from pathlib import Path

from practicum.checks.processes import work
from practicum.checks.processes.messages import send
from practicum.checks.processes.server import listen, serve, speak_into
from practicum.checks.processes.warmth import warm_up
from practicum.checks.processes.world import World, arrange


def main() -> None:
    """Warm up, say so, and answer until the caller ends."""
    path, keeper = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    world: World = pickle.loads(bytes.fromhex(sys.argv[3]))
    speak_into(path.with_suffix(".log"))
    arrange(world)
    warm_up()
    listener = listen(path)
    gc.collect()
    gc.freeze()
    send(keeper, "ready")
    serve(listener, keeper, work.load_a_stage)


main()
