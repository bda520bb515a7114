"""The checks by their stable codes: what each asks, why it matters for training, what to do when it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from practicum.checks.scores.catalogue import rows
from practicum.digests import digest

Severity = Literal["fail", "warn"]


@dataclass(frozen=True)
class Check:
    """One check. ``code`` is public contract: reports, ledgers and people's notes refer to it."""

    code: str
    title: str
    why: str
    fix: str


_ALL = (
    Check(
        "ENV-FAULT",
        "no exception escapes",
        "An exception ends the rollout: it is lost, and its group is trained on what is left.",
        "Raise practicum.ToolError for what the agent did wrong: its text becomes the result. Mend the rest.",
    ),
    Check(
        "ENV-STATE",
        "only declared state changes",
        "State that nobody declared is carried from one episode into the next, and from one rollout of a group "
        "into its neighbours: the policy learns from what others did.",
        "Assign it on self in start, or declare it as a class attribute: name = reset(factory). Copy what is read "
        "before it is changed.",
    ),
    Check(
        "ENV-HERMETIC",
        "nothing outside the episode is touched",
        "What a network, a clock, an unseeded generator, an environment variable, a file elsewhere or another program "
        "says is no part of task, seed and actions: the same rollout gets another reward elsewhere or tomorrow, and "
        "cannot be replayed.",
        "Use what the episode owns: self.random, self.clock, self.new_id, self.scratch, self.fixture.",
    ),
    Check(
        "ENV-REPEAT",
        "the same actions give the same messages",
        "Rewards within a group are compared as if only the policy differed. Where the environment differs "
        "by itself, its noise is learned from and no rollout can be replayed.",
        "Draw from self.random, which reset seeds; keep clocks and object addresses out of results; make all "
        "state in start, on the instance.",
    ),
    Check(
        "ENV-INTERLEAVE",
        "interleaved episodes equal solo ones",
        "Training runs many episodes at once. State they share makes one's result depend on another's calls.",
        "Keep an episode's state on the instance: not on the class, in a module or in global random state.",
    ),
    Check(
        "ENV-ABANDON",
        "an episode that ends badly changes nothing for the next",
        "Rollouts crash, are cancelled and are dropped. What one of them holds on to, or leaves half done, spoils the "
        "rollouts that come after it.",
        "Undo and release in finally, in a with statement or with self.register; change shared things in one step.",
    ),
    Check(
        "ENV-PROCESS",
        "another process gives the same messages",
        "A run resumed tomorrow, on another machine, would train in another environment than this one.",
        "Sort sets and folder listings before they are used; name time zone, locale and encoding; open files "
        "relative to self.folder; take hash() and environment variables out of results.",
    ),
    Check(
        "ENV-LEFTOVER",
        "nothing is left behind",
        "A run plays tens of thousands of episodes in one process: whatever one leaves fills the machine, or "
        "changes what later episodes see.",
        "Release it in stop, which runs however the episode ended, or give it to self.register or self.enter.",
    ),
    Check(
        "ENV-UNSOLVED",
        "the oracle solves the tasks",
        "A task that the environment's own solution fails gives every rollout the same reward, or rewards "
        "the wrong answer; and its demonstration would teach that.",
        "Compare the oracle's answer with the label: one of oracle, tools, label and score is wrong.",
    ),
    Check(
        "ENV-LABEL",
        "the label does not stand in the opening messages",
        "The policy learns to copy the answer and never to use the tools.",
        "Take the label out of prompt and system prompt; what a score needs belongs in answer or metadata.",
    ),
    Check(
        "ENV-DUPLICATE",
        "every task stands once, in one split",
        "A task in two splits makes the evaluation measure memory; a repeated one is weighed twice.",
        "Remove the copies, and split by what a task's answer depends on.",
    ),
    Check(
        "ENV-UNBOUNDED",
        "arguments have bounds",
        "Without a maximum one call may carry any amount of text or numbers: cost without limit, and room "
        "for inputs the environment was never tried with.",
        "Annotate it, such as Annotated[str, Field(max_length=64)] or Annotated[int, Field(ge=0, le=100)].",
    ),
    Check(
        "ENV-FIDELITY",
        "tools and answers are those of production's schema file",
        "The policy learns the names, arguments and answers it is trained with: what is otherwise in production, it "
        "does wrong there, however well it does here.",
        "Make the tool's signature what production's schema says, or bring the schema file up to date.",
    ),
)

_AGENT = (
    Check(
        "AGENT-FAULT",
        "a rollout with a scripted model comes to its end",
        "A rollout that fails for the agent's own reasons is lost, whatever the policy did.",
        "Look for an exception in the agent's log; have it end with /complete-rollout and /update-reward.",
    ),
    Check(
        "AGENT-REPEAT",
        "the same prompt and answers give the same requests",
        "Rewards within a group are compared as if only the policy differed. Where the agent asks otherwise by itself, "
        "its noise is learned from.",
        "Take clocks, random ids and state of earlier rollouts out of prompts, tool results and rewards.",
    ),
    Check(
        "AGENT-INTERLEAVE",
        "rollouts at once equal solo ones",
        "Training plays many rollouts at once. State they share makes one's requests depend on another's.",
        "Keep a rollout's state by its rolloutId: in the request's own variables, not in the module or the server.",
    ),
    Check(
        "AGENT-TOOLS",
        "the agent's tools are those of the environment",
        "A certificate of an environment that stands in for the agent says nothing of what the policy will call.",
        "Let the agent use the environment's own tools, or take the certificate for that of data and score only.",
    ),
    Check(
        "AGENT-RANGE",
        "reported rewards lie in [-1, 1]",
        "A number out of range outweighs all others in means and advantages.",
        "Scale what the agent reports to [0, 1], or to [-1, 1] where failures are to cost.",
    ),
    Check(
        "AGENT-FLAT",
        "reported rewards vary",
        "Equal rewards within every group give no gradient.",
        "Pay for parts, mix in easier tasks, or get a foothold first.",
    ),
    Check(
        "AGENT-ABOVE",
        "the reported reward is above the score only for a documented reason",
        "What is rewarded without being right is what will be learned.",
        "Tighten what the agent pays for; or where it pays for parts on purpose, say so beside the environment: "
        "score.excuses = {'above-score': 'why'}.",
    ),
    Check(
        "AGENT-RANK",
        "no failure is reported with a success's reward",
        "A failure that earns what a success earns is as good to the policy, and cheaper.",
        "Leave room between the most that parts can earn and what success earns.",
    ),
)

NOT_ASKED = {
    "ENV-FIDELITY": "there is no schema file of production to compare with",
    "EVAL-UNSOLVED": "no oracle has played",
    "EVAL-ZERO": "no evaluation of the base model is on record: practicum baseline makes one",
    "EVAL-REFERENCE": "no evaluation is on record: practicum baseline makes one",
    "BUDGET-TURNS": "no oracle has played",
    "BUDGET-CONTEXT": "there is no recipe, or it has no limits",
    "BUDGET-TOKENS": "no rollouts are on record: name a run with --recorded",
    "BUDGET-EXHAUSTED": "no rollouts are on record: name a run with --recorded",
}
"""Checks that need something which an environment may not have, and what that is."""

REVISION = 1
"""Raised when a check asks for more than it did under the same code."""

CHECKS: Mapping[str, Check] = {check.code: check for check in _ALL}
"""Every check of an environment by code, in the order they run."""

AGENT: Mapping[str, Check] = {check.code: check for check in _AGENT}
"""Every check of an agent behind HTTP."""

EVERY: Mapping[str, Check] = {**CHECKS, **{row[0]: Check(*row) for row in rows()}, **AGENT}
"""These, and the checks of scores, rewards, budgets and data."""

VERSION = f"{REVISION}-{digest(sorted(CHECKS))[:12]}"
"""Of the catalogue: what was certified by another one is to be checked again."""
