"""An MCP server without any library, of an older revision: ``plain_server.py SEED [HOW]``. HOW: how to misbehave."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SEED, HOW = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
TOOLS = ["seed", "wait", "leave", "link", *(["more"] if HOW == "changes" and SEED != "0" else [])]


def answer(method, params):
    if method == "initialize":
        info = {"name": "plain", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        # One tool a page.
        at = int(params.get("cursor") or 0)
        page = [{"name": TOOLS[at], "description": f"{TOOLS[at]} it", "inputSchema": {"type": "object"}}]
        return {"tools": page, **({"nextCursor": str(at + 1)} if at + 1 < len(TOOLS) else {})}
    given = os.environ
    text = f"seed {SEED} key {given.get('NOTES_KEY')} home {'HOME' in given} own {'UNSAID' in given} in {Path.cwd()}"
    if params["name"] == "wait":
        time.sleep(params["arguments"]["seconds"])
    if params["name"] == "leave":
        print("leaving", file=sys.stderr, flush=True)
        os._exit(3)
    if params["name"] == "link":
        return {"content": [{"type": "resource_link", "uri": "file:///notes.txt", "name": "notes"}]}
    return {"content": [{"type": "text", "text": text}]}


if HOW == "late":
    time.sleep(60)
if HOW == "dies":
    sys.exit("no licence found")
if HOW == "litters":
    # One that outlives its parent in the same group, and one in a session of its own.
    for own in (False, True):
        subprocess.Popen(["sleep", "300"], start_new_session=own, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    reply = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] in ("initialize", "tools/list", "tools/call"):
        reply["result"] = answer(asked["method"], asked.get("params") or {})
    else:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(reply), flush=True)
