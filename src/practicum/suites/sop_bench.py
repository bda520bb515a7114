"""SOP-Bench (amazon-science) from the path of your own checkout. Nothing of it is in this package.

Licence: SOP-Bench's code and data are CC BY-NC 4.0: not for commercial use. Eight of its domains have a LICENSE.md of
their own that forbids training use. Practicum repeats this note at every use, and gives the training splits of a
domain whose LICENSE.md speaks of training only to someone who says they have read it.

    environment: practicum.suites.sop_bench:SopBench
    environment_args: {path: ~/SOP-Bench, domain: customer_service}

The agent is given a case and the procedure as text, calls the domain's tools, and answers with JSON in
``<final_output>``. The benchmark's own comparator accepts parts of words and takes null, none, unknown and "" for
the same, so that constant answers score; the score here wants every field equal in type and value.
"""

import functools
import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from practicum.digests import digest
from practicum.environment import Call, Environment, Oracle, ToolError, ToolSpec
from practicum.errors import EnvironmentFault
from practicum.scoring import score_fields
from practicum.suites.foreign_code import load_private, seeded_libraries
from practicum.suites.foreign_data import plain
from practicum.suites.sop_domain import LabelledCase, SopDomain, ToolText, read_domain
from practicum.suites.stand_ins import Acting, acting
from practicum.tasks import Task

NOTE = (
    "SOP-Bench's code and data are CC BY-NC 4.0 (creativecommons.org/licenses/by-nc/4.0): not for commercial use; "
    "several domains' LICENSE.md forbids training on them."
)
ACCEPTED = "I have read {domain}/LICENSE.md and may train on this data"

SPLITS = {"train": 60, "validation": 15, "test": 25}
"""Percent of a domain's cases, drawn by hash of the id."""


class LicenceNote(UserWarning):
    """What the owner of the data asks of whoever uses it."""


@dataclass(frozen=True)
class EpisodeManager:
    """An episode's Manager."""

    manager: Any

    def __practicum_state__(self) -> dict[str, str]:
        """Digests of what is plain data; what counts in the rest of a foreign object (tables, say), nobody knows."""
        digests = {}
        for name, value in getattr(self.manager, "__dict__", {}).items():
            with suppress(TypeError, ValueError, RecursionError):
                digests[name] = digest(value)
        return digests


class SopBench(Environment):
    """A case, a procedure, and the domain's tools.

    Code and data are CC BY-NC 4.0; see the module.

    Args:
        path: Your checkout of SOP-Bench, or the folder that holds its domains.
        domain: Name of a domain's folder.
        accept_license: For a domain whose LICENSE.md speaks of training, the sentence that opens its training
            splits; the error tells it. Evaluation needs none.
    """

    id, version = "sop-bench", "1"

    def __init__(self, path: str = "", domain: str = "", accept_license: str = "") -> None:
        super().__init__()
        self.domain = read_domain(Path(path).expanduser().absolute(), domain)
        self.accepted = accept_license == ACCEPTED.format(domain=domain)
        self.max_turns = max(8, math.ceil(1.5 * (len(self.domain.tools) + 1)))
        # The version follows the user's checkout: another commit of it is another environment.
        vars(self)["version"] = f"{type(self).version}+{self.domain.digest[:12]}"
        _note(self.domain)

    def settings(self) -> dict[str, Any]:
        """The domain and a digest over its files."""
        return {"domain": self.domain.name, "data": self.domain.digest}

    def tasks(self, split: str) -> list[Task]:
        """Cases of ``train``, ``validation`` or ``test``.

        Raises:
            EnvironmentFault: the domain's licence speaks of training, and ``accept_license`` was not given.
        """
        if split not in SPLITS:
            raise EnvironmentFault(f"SOP-Bench has no split {split!r}", allowed=", ".join(SPLITS))
        if split != "test" and self.domain.forbids_training and not self.accepted:
            raise EnvironmentFault(
                f"the licence of {self.domain.name} speaks against training on it",
                where=str(self.domain.folder / "LICENSE.md"),
                allowed="evaluation: the test split needs nothing",
                fix=f"read it; if you may train, set accept_license: {ACCEPTED.format(domain=self.domain.name)!r}",
            )
        return [_task(case) for case in self.domain.cases if _split(case.id) == split]

    def system_prompt(self, task: Task) -> str:
        """The procedure, and the form of the answer."""
        return f"{self.domain.procedure.strip()}\n\n{_form(self.domain)}"

    def start(self, task: Task) -> None:
        """Load a module of the tools for this episode alone, so that nothing it keeps is shared, and make a Manager."""
        with self._acting():
            self.desk = EpisodeManager(_manager_of(self.domain)())

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The domain's tools."""
        return self._specs

    def oracle(self, task: Task) -> Oracle:
        """Calls every tool whose arguments the case or an earlier result names, then answers with the label."""
        case = next((case for case in self.domain.cases if case.id == task.id), None)
        if case is None:
            raise EnvironmentFault(
                f"task {task.id!r} is no case of {self.domain.name}", fix="use SopBench.tasks(split)"
            )
        facts: dict[str, Any] = dict(case.inputs)
        waiting = list(self.domain.tools)
        while ready := [tool for tool in waiting if _arguments(tool, facts) is not None]:
            result = yield Call(ready[0].name, _arguments(ready[0], facts) or {})
            facts |= {name: value for name, value in _scalars(result) if name not in facts}
            waiting.remove(ready[0])
        return f"<final_output>{json.dumps(case.label, ensure_ascii=False)}</final_output>"

    @functools.cached_property
    def _specs(self) -> dict[str, ToolSpec]:
        def spec(tool: ToolText) -> ToolSpec:
            run = functools.partial(self._run, tool.name)
            return ToolSpec.from_schema(tool.name, tool.description, tool.parameters, run)

        return {tool.name: spec(tool) for tool in self.domain.tools}

    def _run(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            with self._acting():
                result = self.desk.manager.process_tool_call(name, arguments)
        except ImportError as error:
            where = str(self.domain.folder / "tools.py")
            raise EnvironmentFault(f"tool {name!r} needs {error.name}", where=where, fix="install it") from error
        except Exception as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error
        return plain(result)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        with acting(Acting(self.random, self.clock)), seeded_libraries(self.random):
            yield


score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)


def _manager_of(domain: SopDomain) -> Any:
    path = domain.folder / "tools.py"
    module = load_private(path, f"practicum_sop_bench_{domain.name}", shared=False)
    defined = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    managers = [kind for kind in defined if isinstance(kind, type) and kind.__name__.endswith("Manager")]
    managers = [kind for kind in managers if callable(getattr(kind, "process_tool_call", None))]
    if len(managers) != 1:
        names = ", ".join(kind.__name__ for kind in managers) or "none"
        raise EnvironmentFault(
            f"the tools have {len(managers)} Managers: {names}",
            where=str(path),
            allowed="one class …Manager with process_tool_call(name, arguments)",
        )
    return managers[0]


def _note(domain: SopDomain) -> None:
    warnings.warn(f"{domain.name}: {NOTE}", LicenceNote, stacklevel=3)
    if domain.contradictory:
        what = f"{domain.name}: {domain.contradictory} cases left out: equal inputs, different labels"
        warnings.warn(what, UserWarning, stacklevel=3)


def _task(case: LabelledCase) -> Task:
    prompt = "\n".join(f"{name}: {value}" for name, value in case.inputs.items())
    return Task(case.id, prompt, case.label)


def _form(domain: SopDomain) -> str:
    """The form of the answer: every field with the type of its label."""

    def kind(column: str) -> str:
        return f"{domain.kinds[column]} or null" if column in domain.nullable else domain.kinds[column]

    fields = ", ".join(f'"{column}": {kind(column)}' for column in domain.kinds)
    return (
        "Call the tools, then answer only with one JSON object that has exactly these fields: "
        f"<final_output>{{{fields}}}</final_output>"
    )


def _split(id: str) -> str:
    place = int(hashlib.sha256(f"sop-bench/{id}".encode()).hexdigest(), 16) % 100
    return next(split for split, end in zip(SPLITS, accumulate(SPLITS.values()), strict=True) if place < end)


def _arguments(tool: ToolText, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tool's required arguments, if the facts name all; texts from the table in the types that the tool wants."""
    fields = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", [])
    if not all(name in facts for name in required):
        return None
    return {name: _as(fields.get(name, {}).get("type"), facts[name]) for name in required}


def _as(kind: Any, value: Any) -> Any:
    if not isinstance(value, str) or kind in ("string", None):
        return str(value) if kind == "string" else value
    try:
        return json.loads(value.lower() if kind == "boolean" else value)
    except ValueError:
        return value


def _scalars(result: Any) -> Iterator[tuple[str, Any]]:
    """Names and plain values anywhere in a result."""
    if isinstance(result, Mapping):
        for name, value in result.items():
            if isinstance(value, str | int | float):
                yield name, value
            yield from _scalars(value)
    elif isinstance(result, list):
        for value in result:
            yield from _scalars(value)
