"""Modules by the names they had before 2026-12: files that import them go on, with a warning that says the new name.

Documented names moved too (``practicum.environment.faces`` is ``practicum.bridges``), and the digest of a user's
environment holds its code as it stands, import lines included: no file should have to change for our sake.
"""

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

MOVED = {
    "algorithms.penalties": "algorithms.losses",
    "algorithms.returns": "algorithms.advantages",
    "algorithms.sequences": "algorithms.losses",
    "checks.judges": "checks.scores",
    "checks.nursery": "checks.processes",
    "checks.nursery.taps": "checks.watch.libc_hooks",
    "checks.plays": "checks.ways",
    "checks.watching": "checks.watch",
    "checks.watching.leftovers": "checks.watch.residue",
    "checks.watching.outlines": "checks.watch.object_tree",
    "checks.watching.touches": "checks.watch.outside_access",
    "cli": "commands",
    "cli.refusals": "commands.storage_errors",
    "cli.checking": "commands.check",
    "cli.recipes": "commands.recipe",
    "cli.runs": "commands.run",
    "cli.services": "commands.service",
    "engine.local.family": "engine.local.models",
    "engine.local.linear": "engine.local.policy",
    "engine.local.memory": "engine.local.hardware",
    "engine.local.reference": "engine.local.policy",
    "engine.local.stacking": "engine.local.export",
    "environment.faces": "bridges",
    "environment.faces.actions": "bridges.gym_actions",
    "environment.faces.background": "bridges.background",
    "environment.faces.documents": "services.documents",
    "environment.faces.gym": "bridges.gym",
    "environment.faces.gym_env": "bridges.gym_env",
    "environment.faces.gym_foreign": "bridges.gym_foreign",
    "environment.faces.gym_spaces": "bridges.gym_spaces",
    "environment.faces.mcp_client": "bridges.mcp_client",
    "environment.faces.mcp_results": "bridges.mcp_results",
    "environment.faces.mcp_server": "bridges.mcp_server",
    "environment.faces.mcp_session": "bridges.mcp_session",
    "environment.faces.openapi": "services.openapi",
    "environment.faces.openapi_schemas": "services.openapi_schemas",
    "environment.faces.optional": "bridges.optional",
    "environment.faces.playing": "bridges.episode",
    "environment.faces.production": "services.production",
    "environment.faces.waiting": "environment.waiting",
    "environment.recording": "services",
    "environment.recording.callables": "services.callables",
    "environment.recording.command": "commands.record",
    "environment.recording.keys": "services.keys",
    "environment.recording.mcp_source": "services.mcp_source",
    "environment.recording.openapi_source": "services.openapi_source",
    "environment.recording.pairs": "services.pairs",
    "environment.recording.recorder": "services.recorder",
    "environment.recording.recording": "services.recording",
    "environment.recording.redaction": "services.redaction",
    "environment.recording.replay": "services.recorded_environment",
    "environment.recording.rule": "services.rule",
    "environment.recording.secret_rules": "services.secret_rules",
    "environment.recording.source": "services.source",
    "environment.recording.suspicion": "services.suspicion",
    "evaluation.record": "runs.evaluations",
    "ledger": "runs",
    "ledger.replay": "runs.playback",
    "monitor.addresses": "monitor.undelivered",
    "recipe.advice": "recipe.explain",
    "recipe.show": "recipe.explanation_table",
    "recipe.yaml_bounds": "recipe.yaml_reader",
    "recipe.yaml_text": "recipe.yaml_reader",
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
    "scoring.attacks": "checks.attacks",
    "training.checkpoint": "runs.checkpoint",
    "training.control": "commands.control",
    "training.demo": "commands.training_runs",
    "training.foothold": "training.imitation",
    "training.gate": "commands.gate",
    "training.leftovers": "runs.repair",
    "training.overlap": "training.async_trainer",
    "training.pipeline": "commands.stages",
    "training.promotion": "commands.promote",
    "training.replaying": "commands.replay",
    "training.run": "runs.folder",
    "training.summary": "commands.summary",
    "training.schedule": "training.trainer",
    "training.teachers": "training.demonstrations",
    "training.warmstart": "commands.warmstart",
    "training.workbench": "training.components",
    "viewer": "report",
    "viewer.disagreements": "evaluation.disagreements",
    "viewer.report": "report.run_page",
    "cli.__main__": "__main__",
}
"""Old name → new name, both within ``practicum``; a package's stands for all in it that has no line of its own."""


def present_name(name: str) -> str | None:
    """What a module of an old name is called now; None where the name is no old one."""
    top, _, inner = name.partition(".")
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
        spec = importlib.util.find_spec(name) if name else None
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
        """It has been executed; only its own name is given back to it."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m``."""
        name = present_name(fullname)
        spec = importlib.util.find_spec(name) if name else None
        loader: Any = spec.loader if spec else None
        return loader.get_code(name) if loader else None


def answer_old_names() -> None:
    """Let old names be imported, in this process."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        # Before Python's own finder, which would load a second copy of a module from the folder of its moved package.
        sys.meta_path.insert(0, MovedModules())
