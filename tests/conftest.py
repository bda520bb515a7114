"""What all tests share: one thread, so that CPU results are repeatable, models, and commands to run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read on import: no test asks the hub for anything

import pytest
import torch
import transformers as tf

import practicum
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import SMOLLM2, find_model, load_tokenizer
from practicum.engine.local.policy import Policy
from practicum.environment.target import load_target
from practicum.rollout.renderer import make_renderer
from practicum.tasks import Task
from practicum.training.imitation import demonstrations, imitate
from practicum.trajectory import Rollout

HERE = Path(__file__).parent
os.environ.pop("COLUMNS", None)  # what commands print has their own width, wherever the tests run
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's folder: under $PRACTICUM_HOME where that is set, else unpacked for this session."""
    if os.environ.get("PRACTICUM_HOME"):
        return find_model(SMOLLM2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRACTICUM_HOME", str(tmp_path_factory.mktemp("practicum-home")))
        return find_model(SMOLLM2)


@pytest.fixture(scope="session")
def tokenizer(smollm2: Path) -> Any:
    """SmolLM2's tokenizer."""
    return load_tokenizer(smollm2)


@pytest.fixture
def finished() -> Any:
    """Makes finished rollouts that end with the given answer."""

    def make(answer: str = "", label: dict[str, Any] | None = None, **more: Any) -> Rollout:
        messages = [{"role": "user", "content": "do"}, {"role": "assistant", "content": answer}]
        fields = {"messages": messages, "tool_calls": [], "final_state": {}, "ending": "final", **more}
        return Rollout(task=Task("t1", "do", label), **fields)

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A Hugging Face folder: two random Llama layers under SmolLM2's tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    sizes = {"vocab_size": 49152, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = tf.LlamaConfig(**sizes, **heads, **tokens, tie_word_embeddings=True, initializer_range=0.15)
    torch.manual_seed(0)
    tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass
class Command:
    """A ``practicum`` command: its process, and once that ended, its exit code (negative: the signal)."""

    pid: int
    _out: Path
    _err: Path
    _warm: "WarmProcess"
    code: int | None = None

    @property
    def out(self) -> str:
        return _so_far(self._out)

    @property
    def err(self) -> str:
        return _so_far(self._err)

    def wait(self, seconds: float = 60) -> "Command":
        """Wait for the end; kill it when it takes longer."""
        self.code = self._warm.ask({"wait": self.pid, "seconds": seconds})["code"]
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._warm.ask({"wait": self.pid, "seconds": 10})
            raise AssertionError(f"still running after {seconds} s\n{self.out}\n{self.err}")
        return self


def _so_far(path: Path) -> str:
    """What a command has printed; its file appears only once the forked child has opened it."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


class WarmProcess:
    """Forks commands off a process that has everything imported."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(practicum.__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "warm_process.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ready = False

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._ready:
            self._process.stdout.readline()
            self._ready = True
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="session")
def warm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    process = WarmProcess()
    yield process
    process.close()


class Commands:
    """Runs ``practicum`` in a folder of its own."""

    def __init__(self, folder: Path, warm: WarmProcess, environment: Mapping[str, str]) -> None:
        self.folder, self._warm, self._environment, self._number = folder, warm, dict(environment), 0

    def start(
        self, *arguments: str, first: str = "", environment: Mapping[str, str] | None = None, gate: bool = False
    ) -> Command:
        """Start a command; ``first`` is Python that its process runs before. ``gate``: ``train`` asks for one."""
        if arguments[0] == "train" and not gate:
            arguments = (*arguments, "--without-gate", "a test of something else")
        self._number += 1
        out, err = (self.folder / f"command-{self._number}.{name}" for name in ("out", "err"))
        order = {
            "arguments": arguments,
            "folder": str(self.folder),
            "environment": {**self._environment, **(environment or {})},
            "first": first,
            "out": str(out),
            "err": str(err),
        }
        return Command(self._warm.ask(order)["pid"], out, err, self._warm)

    def __call__(
        self, *arguments: str, first: str = "", environment: Mapping[str, str] | None = None, gate: bool = False
    ) -> Command:
        """Run a command to its end."""
        return self.start(*arguments, first=first, environment=environment, gate=gate).wait()


@pytest.fixture(scope="session")
def able_model(tiny_model: Path) -> Path:
    """The tiny model after demonstrations of ``desk.py``: it mostly calls the tool and answers."""
    desk = load_target(str(HERE / "desk.py"))
    policy = Policy.load(tiny_model, dtype=torch.float32, device=torch.device("cpu"))
    learner = LocalLearner(policy, train_embeddings=True)
    data = demonstrations(desk.make, make_renderer(policy.tokenizer, "tiny"), desk.tasks("train")[:6], 0)
    for _ in imitate(learner, data, data[:1], epochs=16, batch_size=3, learning_rate=1e-2, seed=0):
        pass
    able = tiny_model.with_name("able")
    able.mkdir()
    learner.export(able)
    return able


@pytest.fixture
def commands(tmp_path: Path, warm_process: WarmProcess, able_model: Path) -> Commands:
    """Commands in a folder that holds ``desk.py`` and ``desk.yaml``, which trains the able model on it.

    They do without MLflow, which takes longer than these runs: its address leads nowhere.
    """
    (tmp_path / "desk.py").write_text((HERE / "desk.py").read_text())
    (tmp_path / "desk.yaml").write_text(f"model_name: {able_model}\n" + (HERE / "desk.yaml").read_text())
    return Commands(tmp_path, warm_process, {"MLFLOW_TRACKING_URI": "nowhere://"})
