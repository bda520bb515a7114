"""``practicum check``: an environment certified, from the command line and from a pre-commit hook."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.checks.catalogue import REPETITIONS, TASKS_PER_SPLIT
from practicum.commands.app import Target, app, console
from practicum.display import StatusLine, heading, say, say_line, screen
from practicum.errors import EnvironmentFault, LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from practicum.checks.findings import AgentReport, JudgesReport, Report, State
    from practicum.commands.gate import Passed
    from practicum.environment.target import EnvironmentTarget
    from practicum.recipe import Recipe

FAILED, INCOMPLETE = 1, 3
"""Exit statuses: something failed; nothing failed, but not everything that was asked for was seen."""

Allow = Annotated[
    list[str] | None,
    typer.Option(help='"kind: reason": network, clock, random, environ, files or subprocess; may be repeated.'),
]


@app.command(epilog="Example: practicum check support_desk")
def check(
    target: Target,
    overrides: Annotated[list[str] | None, typer.Argument(help="Keys to override, where it is a recipe.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    tasks: Annotated[int, typer.Option(help="Tasks per split that are played.", min=1)] = TASKS_PER_SPLIT,
    repetitions: Annotated[int, typer.Option(help="How often episodes run in threads.", min=1)] = REPETITIONS,
    recorded: Annotated[Path | None, typer.Option(help="A run whose recorded calls are played too.")] = None,
    production: Annotated[Path | None, typer.Option(help="Schema file of the tools in production.")] = None,
    judges: Annotated[bool, typer.Option("--judges", help="Score, reward, budget and data too, without a recipe.")] = (
        False
    ),
    allow: Allow = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 3 where a check was skipped.")] = False,
) -> None:
    """Certify an environment: reproducible, isolated, hermetic, solvable, like production. Exit status 0 only if so.

    Of a recipe, score, reward, budget and data are checked too, and attacked; and an agent behind HTTP, as far as it
    can be seen. A check that saw nothing is skipped, and counted apart. Exit status 1: something failed; 3: nothing
    failed, but nothing was seen, or with --strict not everything.
    """
    from practicum.checks.environment import run_checks
    from practicum.checks.findings import print_judges, print_report
    from practicum.recipe import BUILTIN

    (environment, recipe), reasons = _target(target, overrides or []), _reasons(allow or [])
    remote = recipe is not None and recipe.agent != BUILTIN
    if recipe is not None and remote:
        from practicum.checks.agent.rehearsal import require_agent

        require_agent(recipe)
    with StatusLine(screen(stderr=True), "checking") as status:
        report = run_checks(
            environment,
            tasks_per_split=tasks,
            progress=lambda text: status.update(f"checking: {text}"),
            allow=reasons,
            recorded=recorded,
            repetitions=repetitions,
            production=production,
        )
        judged = _judged(environment, recipe, recorded, status) if recipe is not None or judges else None
        played = _played(environment, recipe, recorded, status) if recipe is not None and remote else None
    further = [part for part in (judged, played) if part is not None]
    ok = report.ok and all(part.ok for part in further)
    certified = _certified(environment, report, tasks, production, recipe, judged, played)
    if html is not None:
        from practicum.report.check_page import write_check_page

        write_check_page(html, report, certified.certificate if certified else None, others=further)
    if as_json:
        named = {"certificate": certified.certificate.digest} if certified and certified.certificate else {}
        parts = {"judges": judged, "agent": played}
        more = {name: part.to_dict() for name, part in parts.items() if part is not None}
        say_line(json.dumps({**report.to_dict(), **more, **named}, indent=2))
    else:
        print_report(report, console())
        if judged is not None:
            heading(console(), "score, reward, budget and data")
            print_judges(judged, console())
        if played is not None:
            from practicum.checks.findings import print_agent

            heading(console(), "the agent")
            print_agent(played, console())
        if certified and ok:
            say(console(), f"certificate {certified.file}", soft_wrap=True)
        if html is not None:
            say(console(), f"page {html}", soft_wrap=True)
    states = [state for part in (report, *further) for state in part.states.values()]
    raise typer.Exit(_exit_status(states, ok=ok, strict=strict))


@app.command("check-changed", epilog="Example: practicum check-changed $(git diff --name-only)")
def check_changed(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files that changed; those of no environment are passed over.")
    ] = None,
    tasks: Annotated[int, typer.Option(help="Tasks per split that are played.", min=1)] = TASKS_PER_SPLIT,
    repetitions: Annotated[int, typer.Option(help="How often episodes run in threads.", min=1)] = REPETITIONS,
    allow: Allow = None,
) -> None:
    """Check every environment that files belong to, for a pre-commit hook. Says nothing where there is none."""
    from practicum.checks.changed_files import environments_of
    from practicum.checks.environment import run_checks
    from practicum.checks.findings import print_report
    from practicum.checks.processes.client import Nursery
    from practicum.runs.versions import RUNS

    reasons, failed = _reasons(allow or []), False
    targets = environments_of(files or [])
    if not targets:
        return
    with Nursery() as nursery:
        for target in targets:
            report = run_checks(target, tasks_per_split=tasks, repetitions=repetitions, allow=reasons, nursery=nursery)
            if RUNS.is_dir():  # a hook makes no folders in somebody's repository
                _certified(target, report, tasks)
            print_report(report, console())
            failed = failed or not report.ok
    raise typer.Exit(1 if failed else 0)


def _target(text: str, overrides: list[str]) -> "tuple[EnvironmentTarget, Recipe | None]":
    """What is checked, and the recipe that names it, if one does."""
    from practicum.environment.target import UNCHECKED, AgentsOwn, resolve_target, target_of
    from practicum.recipes import FOLDER

    shipped = FOLDER / f"{text}.yaml"
    recipe = shipped if shipped.is_file() else Path(text)
    if recipe.suffix in (".yaml", ".yml"):
        from practicum.recipe import load_recipe

        loaded = load_recipe(recipe, overrides)
        checked = target_of(loaded, name=text)
        if checked.environment is AgentsOwn:
            raise EnvironmentFault(
                UNCHECKED, where=text, fix="practicum train needs no certificate here; with an environment there is one"
            )
        return checked, loaded
    if overrides:
        raise EnvironmentFault(
            f"{text} is no recipe: there is nothing that {overrides[0]!r} could override",
            allowed="keys after a recipe",
            fix="write a recipe with environment and environment_args, and check that",
        )
    return resolve_target(text), None


def _judged(
    target: "EnvironmentTarget", recipe: "Recipe | None", recorded: Path | None, status: StatusLine
) -> "JudgesReport":
    from practicum.checks.scores.check_judges import check_judges
    from practicum.checks.scores.evidence import read_recorded

    baseline = read_recorded(recorded) if recorded is not None and recorded.is_dir() else None
    return check_judges(target, recipe, baseline, progress=lambda text: status.update(f"checking: {text}"))


def _played(target: "EnvironmentTarget", recipe: "Recipe", recorded: Path | None, status: StatusLine) -> "AgentReport":
    from practicum.checks.agent.check_agent import check_agent
    from practicum.checks.scores.evidence import read_recorded
    from practicum.recipe import BUILTIN

    baseline = read_recorded(recorded) if recorded is not None and recorded.is_dir() else None
    own = baseline.trajectories if baseline is not None and baseline.agent != BUILTIN else ()
    return check_agent(target, recipe, own, progress=lambda text: status.update(f"checking: {text}"))


def _exit_status(states: "Sequence[State]", *, ok: bool, strict: bool) -> int:
    if "fail" in states:
        return FAILED
    return INCOMPLETE if not ok or (strict and "skipped" in states) else 0


def _reasons(given: list[str]) -> dict[str, str]:
    """``kind: reason`` pairs; whether the kind exists, and the reason is one, the checks decide."""
    pairs = [text.partition(":") for text in given]
    return {kind.strip(): reason.strip() for kind, _, reason in pairs}


def _certified(
    target: "EnvironmentTarget",
    report: "Report",
    tasks: int,
    production: Path | None = None,
    recipe: "Recipe | None" = None,
    judged: "JudgesReport | None" = None,
    played: "AgentReport | None" = None,
) -> "Passed | None":
    """The certificate, written; None where it cannot be, which is said and changes no verdict."""
    from practicum.commands.gate import certify
    from practicum.runs.versions import RUNS

    try:
        return certify(
            RUNS, target, report, asked=tasks, recipe=recipe, judges=judged, production=production, agent=played
        )
    except LedgerError as error:
        say(screen(stderr=True), f"no certificate: {error}", style="yellow", soft_wrap=True)
        return None
