"""Modules by the names they had before 2026-12: files that import them go on, with a warning that says the new name.

Documented names moved too (``practicum.environment.faces`` is ``practicum.bridges``), and the digest of a user's
environment holds its code as it stands, import lines included: no file should have to change for our sake.
"""

import importlib.util
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

MOVED = {
    "algorithms.penalties": "algorithms.losses",
    "algorithms.returns": "algorithms.advantages",
    "algorithms.sequences": "algorithms.losses",
    "checks.agent.check": "checks.agent.check_agent",
    "checks.agent.report": "checks.findings",
    "checks.agent.show": "checks.findings",
    "checks.agent.stage": "checks.agent.rehearsal",
    "checks.causes": "checks.differences",
    "checks.changed": "checks.changed_files",
    "checks.defaults": "checks.catalogue",
    "checks.fidelity_answers": "checks.fidelity",
    "checks.guilty": "checks.blame",
    "checks.judges": "checks.scores",
    "checks.judges.catalogue": "checks.catalogue",
    "checks.judges.check": "checks.scores.check_judges",
    "checks.judges.measure": "checks.scores.measured",
    "checks.judges.near": "checks.scores.near_duplicates",
    "checks.judges.numbers": "checks.scores.measured",
    "checks.judges.show": "checks.findings",
    "checks.judges.unseen": "checks.scores.check_judges",
    "checks.judging": "checks.ways.solo",
    "checks.modules": "environment.modules",
    "checks.nursery": "checks.processes",
    "checks.nursery.messages": "checks.processes.fork_server",
    "checks.nursery.patience": "checks.processes.work",
    "checks.nursery.server": "checks.processes.fork_server",
    "checks.nursery.taps": "checks.watch.libc_hooks",
    "checks.nursery.warmth": "checks.ways.__main__",
    "checks.places": "environment.places",
    "checks.plays": "checks.ways",
    "checks.plays.breaking": "checks.ways.abandoned",
    "checks.plays.forks": "checks.processes.work",
    "checks.plays.perturbed": "checks.ways.repeated",
    "checks.plays.suspects": "checks.ways.traced",
    "checks.plays.together": "checks.ways.interleaved",
    "checks.recorded": "checks.trial",
    "checks.solvable": "checks.task_checks",
    "checks.target": "environment.target",
    "checks.tasks": "checks.task_checks",
    "checks.undeclared": "checks.leftover",
    "checks.unseen": "checks.task_checks",
    "checks.visits": "checks.played",
    "checks.watching": "checks.watch",
    "checks.watching.blame": "checks.watch.line_blame",
    "checks.watching.changes": "checks.watch.object_tree",
    "checks.watching.files": "checks.watch.file_access",
    "checks.watching.hearing": "checks.watch.file_access",
    "checks.watching.leftovers": "checks.watch.residue",
    "checks.watching.outlines": "checks.watch.object_tree",
    "checks.watching.recorder": "checks.watch.access_recorder",
    "checks.watching.seeding": "checks.watch.readers",
    "checks.watching.shared": "checks.watch.settings",
    "checks.watching.touches": "checks.watch.outside_access",
    "cli": "commands",
    "cli.__main__": "__main__",
    "cli.checking": "commands.check",
    "cli.recipes": "commands.recipe",
    "cli.refusals": "commands.ending",
    "cli.runs": "commands.train",
    "cli.services": "commands.serve",
    "engine.local.family": "engine.local.models",
    "engine.local.linear": "engine.local.policy",
    "engine.local.memory": "engine.local.hardware",
    "engine.local.reference": "engine.local.policy",
    "engine.local.stacking": "engine.local.export",
    "environment.attributes": "environment.declared_state",
    "environment.elsewhere": "environment.target",
    "environment.faces": "bridges",
    "environment.faces.actions": "bridges.gym_env",
    "environment.faces.background": "bridges.mcp_session",
    "environment.faces.documents": "services.documents",
    "environment.faces.gym": "bridges.gym",
    "environment.faces.gym_env": "bridges.gym_env",
    "environment.faces.gym_foreign": "bridges.gym_foreign",
    "environment.faces.gym_spaces": "bridges.gym_foreign",
    "environment.faces.mcp_client": "bridges.mcp_client",
    "environment.faces.mcp_results": "bridges.mcp_session",
    "environment.faces.mcp_server": "bridges.mcp_server",
    "environment.faces.mcp_session": "bridges.mcp_session",
    "environment.faces.openapi": "services.openapi",
    "environment.faces.openapi_schemas": "services.openapi_schemas",
    "environment.faces.optional": "environment.modules",
    "environment.faces.playing": "bridges.episode",
    "environment.faces.production": "services.production",
    "environment.faces.waiting": "environment.calling",
    "environment.identity": "environment.parts",
    "environment.opening": "environment.play",
    "environment.recording": "services",
    "environment.recording.callables": "services.sources",
    "environment.recording.command": "commands.record",
    "environment.recording.keys": "services.recording",
    "environment.recording.mcp_source": "services.sources",
    "environment.recording.openapi_source": "services.openapi_source",
    "environment.recording.pairs": "services.rule",
    "environment.recording.recorder": "services.recorder",
    "environment.recording.recording": "services.recording",
    "environment.recording.redaction": "services.redaction",
    "environment.recording.replay": "services.recorded_environment",
    "environment.recording.rule": "services.rule",
    "environment.recording.secret_rules": "services.secret_rules",
    "environment.recording.source": "services.sources",
    "environment.recording.suspicion": "services.suspicion",
    "environment.state": "environment.declared_state",
    "environment.transform": "environment.calling",
    "environment.watching": "environment.mutations",
    "evaluation.record": "runs.evaluations",
    "ledger": "runs",
    "ledger.certificates": "runs.versions",
    "ledger.identity": "runs.code_digest",
    "ledger.replay": "runs.playback",
    "ledger.verify": "runs.manifest",
    "monitor.addresses": "monitor.undelivered",
    "programs": "files",
    "recipe.advice": "recipe.explain",
    "recipe.show": "recipe.explanation_table",
    "recipe.yaml_bounds": "yaml_reader",
    "recipe.yaml_text": "yaml_reader",
    "rollout.agent_evidence": "rollout.refusals",
    "rollout.export": "rollout.model_export",
    "rollout.gateway_calls": "rollout.gateway.model_calls",
    "rollout.gateway_errors": "rollout.gateway.error_answers",
    "rollout.gateway_hosts": "rollout.gateway.hosts",
    "rollout.gateway_limits": "rollout.gateway.request_limits",
    "rollout.gateway_recorder": "rollout.gateway.call_log",
    "rollout.gateway_refusals": "rollout.refusals",
    "rollout.gateway_registry": "rollout.gateway.registry",
    "rollout.gateway_routes": "rollout.gateway.error_answers",
    "rollout.gateway_server": "rollout.gateway.http_server",
    "rollout.native": "rollout.renderer",
    "rollout.openai_types": "rollout.gateway.chat_request",
    "rollout.serving": "commands.serve",
    "sandbox.faults": "sandbox.limits",
    "sandbox.interpreter": "sandbox.machine",
    "sandbox.measure": "sandbox.python",
    "sandbox.sql_expansion": "sandbox.sql_shape",
    "sandbox.sql_full_text": "sandbox.sql_guard",
    "sandbox.sql_memory": "sandbox.sql_guard",
    "sandbox.sql_text": "sandbox.sql_functions",
    "sandbox.sql_tokens": "sandbox.sql_shape",
    "sandbox.watch": "sandbox.supervise",
    "scoring.attacks": "checks.attacks",
    "scoring.attacks.family": "checks.attacks.material",
    "scoring.attacks.near": "checks.attacks.near_values",
    "scoring.base": "scoring.judgement",
    "scoring.reported": "scoring.judgement",
    "scoring.tiers": "scoring.weighted",
    "suites.public": "suites",
    "suites.public.arrays": "suites.stand_ins",
    "suites.public.bounds": "suites.foreign_data",
    "suites.public.foreign": "suites.foreign_code",
    "suites.public.plain": "suites.foreign_data",
    "training.checkpoint": "runs.checkpoint",
    "training.control": "commands.control",
    "training.demo": "commands.pipeline",
    "training.foothold": "training.imitation",
    "training.gate": "commands.gate",
    "training.leftovers": "runs.repair",
    "training.overlap": "training.async_trainer",
    "training.pipeline": "commands.stages",
    "training.promotion": "commands.promote",
    "training.replaying": "commands.replay",
    "training.run": "runs.folder",
    "training.schedule": "training.trainer",
    "training.summary": "commands.summary",
    "training.teachers": "training.demonstrations",
    "training.warmstart": "commands.foothold",
    "training.workbench": "training.components",
    "viewer": "report",
    "viewer.disagreements": "evaluation.disagreements",
    "viewer.report": "report.run_page",
}
"""Old name → new name, both within ``practicum``; a package's stands for all in it that has no line of its own."""

CONTRIBUTED = ("bfcl", "bfcl_data", "bfcl_play", "tau2", "tau2_world", "installed", "messages")
OUTSIDE = {f"suites.public.{name}": f"practicum_benchmarks.{name}" for name in CONTRIBUTED}
"""Old name within ``practicum`` → name of a module that is no longer in the wheel: a clone has it in ``contrib/``."""

RENAMED = {
    "environment.faces.playing": {"Episode": "bridges.episode.ServedEpisode"},
    "environment.recording": {"record_command": "commands.record.record_command"},
    "ledger.events": {"Event": "runs.events.LedgerEvent"},
    "ledger.verify": {"Finding": "runs.manifest.Proof"},
    "scoring.attacks": {
        "Case": "checks.attacks.material.PlayedTask",
        "Example": "checks.attacks.run.WorstRollout",
    },
}
"""Old module → names in it that are others now: where they are."""


def present_name(name: str) -> str | None:
    """What a module of an old name is called now; None where the name is no old one."""
    top, _, inner = name.partition(".")
    if top == "practicum" and inner in OUTSIDE:
        return OUTSIDE[inner]
    parts = inner.split(".") if top == "practicum" else []
    for length in range(len(parts), 0, -1):
        new = MOVED.get(".".join(parts[:length]))
        if new:
            return ".".join([top, new, *parts[length:]])
    return None


class MovedModules(MetaPathFinder, Loader):
    """Gives the module that is now called otherwise."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The new module under its old name."""
        name = present_name(fullname)
        try:
            spec = importlib.util.find_spec(name) if name else None
        except ModuleNotFoundError as error:
            if name not in OUTSIDE.values():
                raise
            # No ModuleNotFoundError, whose message gives way to advice on the module's name.
            raise ImportError(
                f"{fullname} is now {name}, which is not installed: pip install ./contrib in a clone of Practicum"
            ) from error
        if spec is None:
            return None
        warnings.warn(f"{fullname} is now {name}: change the import", DeprecationWarning, stacklevel=2)
        package = spec.submodule_search_locations is not None
        alias = ModuleSpec(fullname, self, origin=spec.origin, loader_state=name, is_package=package)
        alias.has_location = True
        return alias

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, not a copy: what either name defines is one thing."""
        module = importlib.import_module(spec.loader_state)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has been executed; its own name is given back to it, and it answers names that it had."""
        alias = module.__spec__
        assert alias is not None
        module.__spec__ = alias.loader_state
        renamed = RENAMED.get(alias.name.partition(".")[2])
        if renamed:
            _answer(module, renamed)

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m``."""
        name = present_name(fullname)
        spec = importlib.util.find_spec(name) if name else None
        loader: Any = spec.loader if spec else None
        return loader.get_code(name) if loader else None


def _answer(module: ModuleType, renamed: Mapping[str, str]) -> None:
    """Let a module give what is called otherwise now, when it is asked for."""
    own = vars(module).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if name in renamed:
            place, _, present = renamed[name].rpartition(".")
            return getattr(importlib.import_module(f"practicum.{place}"), present)
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = __getattr__


def answer_old_names() -> None:
    """Let old names be imported, in this process."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        # Before Python's own finder, which would load a second copy of a module from the folder of its moved package.
        sys.meta_path.insert(0, MovedModules())
