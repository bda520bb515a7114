"""The checks by their stable codes: what each asks, why it matters for training, what to do when it fails."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from practicum.digests import digest

Severity = Literal["fail", "warn"]


@dataclass(frozen=True)
class Check:
    """One check. ``code`` is public contract: reports, ledgers and people's notes refer to it."""

    code: str
    title: str
    why: str
    fix: str


_ENVIRONMENT = (
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

_OF_EACH_JUDGE = (
    Check(
        "RAISES",
        "does not raise",
        "A rollout whose {judge} raises is lost: what the {judge} cannot read is not counted as wrong "
        "but as never tried.",
        "Give 0 for an answer that cannot be read; raise only for what is wrong with the task itself.",
    ),
    Check(
        "RANGE",
        "is a finite number in its range",
        "NaN or a number out of range would poison means and advantages; such a rollout is dropped.",
        "Return a number in [0, 1], or set signed = True on the function and stay in [-1, 1].",
    ),
    Check(
        "REPEAT",
        "gives the same rollout the same number",
        "Noise of the {judge} is learned from as if the policy had done something; and no number can be shown again.",
        "Take randomness, time and everything remembered between rollouts (mutable defaults, globals) out of it.",
    ),
    Check(
        "SLOW",
        "takes little time",
        "It runs for every rollout: what takes seconds each time is most of a training step.",
        "Do once what is the same for all rollouts; keep answers of a judge model on disk (cache=).",
    ),
    Check(
        "CONSTANT",
        "pays for guesses no more than chance",
        "An answer that is the same for every task earns what only knowledge should: the policy stops looking.",
        "Compare whole values of the same type for equality: no substrings, no 'unknown equals everything'.",
    ),
    Check(
        "FORM",
        "pays nothing for an answer in the wrong form",
        "A reader that finds the right value anywhere also finds it among all others: an agent that says everything "
        "is right.",
        "Take exactly one block under the tag, holding one JSON object with exactly the fields asked for.",
    ),
    Check(
        "NEAR",
        "pays nothing for a value that is nearly right",
        "Wrong values pass for right ones; the policy drifts to whatever is cheapest to say.",
        "Compare type and value exactly: case, spaces, digits, sign.",
    ),
    Check(
        "IDLE",
        "pays nothing for no work",
        "Doing nothing is the first thing a policy finds.",
        "Give 0 to an empty answer, to an echo, and to what cannot be read.",
    ),
    Check(
        "EFFORT",
        "pays nothing for toil without a result",
        "Calls and words are what a policy makes most easily; what pays for them gets more of them.",
        "Judge the result. If steps shall pay, pay each milestone once and document it.",
    ),
    Check(
        "TOLD",
        "does not believe what the agent says of itself",
        "The agent writes its own mark.",
        "Read numbers from the task and the final state, never from the agent's text; show a judge model the work as "
        "data, and let it see the label.",
    ),
)

_JUDGED_ALONE = (
    Check(
        "EVAL-MISSING",
        "there is a score",
        "Without a score that is not the reward, nobody can tell training from hacking.",
        "Define score beside the environment, such as score = score_fields(tag='final_output', exact=True).",
    ),
    Check(
        "EVAL-UNSOLVED",
        "the oracle's rollouts are a success",
        "If the known solution is no success, a better model will not look better.",
        "Compare the oracle's answer with the label: one of oracle, tools, label and score is wrong.",
    ),
    Check(
        "EVAL-ZERO",
        "the base model's score is above 0",
        "Where nothing ever succeeds there is nothing to reinforce.",
        "Get a foothold: practicum warmstart, or easier tasks (a lower level).",
    ),
    Check(
        "EVAL-REFERENCE",
        "a reference model's score is on record",
        "A number means something beside another: how far does a strong model get on the same tasks?",
        "Evaluate one: name its endpoint and run practicum baseline.",
    ),
    Check(
        "EVAL-DEPENDENT",
        "no judge model is the policy itself",
        "A model that marks its own work learns to please itself.",
        "Use another model as judge.",
    ),
    Check(
        "REWARD-FLAT",
        "the reward varies over baseline rollouts",
        "Equal rewards within every group give no gradient.",
        "Pay for parts (partial=True), mix in easier tasks, or get a foothold first.",
    ),
    Check(
        "REWARD-ABOVE",
        "the reward is above the score only for a documented reason",
        "What is rewarded without being right is what will be learned.",
        "Tighten the reward; or where it pays for parts on purpose, say so: reward.excuses = {'above-score': 'why'}.",
    ),
    Check(
        "REWARD-RANK",
        "the reward ranks no failure with a success",
        "A failure that earns what a success earns is as good to the policy, and cheaper.",
        "Leave room between the most that parts can earn and what success earns.",
    ),
    Check(
        "REWARD-COMPONENTS",
        "the reward logs its components",
        "A sum hides which of its parts moves; a hacked part shows first on its own.",
        "Return (number, {name: part}), the same names every time; practicum.scoring.weighted does it.",
    ),
    Check(
        "BUDGET-TURNS",
        "turns suffice for half as many again as a walkthrough",
        "Rollouts that run out of turns teach that nothing works.",
        "Set max_turns to ceil(1.5 × turns of a walkthrough).",
    ),
    Check(
        "BUDGET-CONTEXT",
        "the longest rollout fits the context",
        "A rollout that outgrows the context is cut off in the middle, whatever it was about to do.",
        "Lower max_turns or sampling_max_tokens, shorten what tools say, or raise max_sequence_length.",
    ),
    Check(
        "BUDGET-TOKENS",
        "under 5% of rollouts reach the cap on a turn's tokens",
        "A turn cut off at the cap is mostly a lost rollout.",
        "Raise sampling_max_tokens.",
    ),
    Check(
        "BUDGET-EXHAUSTED",
        "under 10% of rollouts run out of turns",
        "They end without an answer and say nothing about the task.",
        "Raise max_turns.",
    ),
    Check(
        "DATA-OVERLAP",
        "no task stands in two splits",
        "What was trained on cannot be tested on.",
        "Remove the copies; split by what the answer depends on.",
    ),
    Check(
        "DATA-NEAR",
        "no task is nearly one of another split",
        "A task that was trained on in other words is not a test either.",
        "Put tasks that are alike into the same split.",
    ),
    Check(
        "DATA-DUPLICATE",
        "no task stands twice in a split",
        "It is weighed twice.",
        "Remove the copies.",
    ),
    Check(
        "DATA-SMALL",
        "there is at least a batch of training tasks",
        "A step needs a batch.",
        "Give more tasks, or lower global_batch_size.",
    ),
    Check(
        "DATA-LABEL",
        "every task has a label where others have one",
        "A task without a label cannot be judged: its rollouts fail.",
        "Give it a label, or take it out.",
    ),
    Check(
        "DATA-LEAK",
        "the label cannot be read off the prompt",
        "The policy copies the answer from the question and learns nothing about the tools.",
        "Take what gives the label away out of the prompt.",
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

TASKS_PER_SPLIT = 8
"""Tasks of each split that are played unless it is told otherwise; a certificate of less does not open the gate."""

REPETITIONS = 4
"""How often every eight episodes run in eight threads; chosen from the curve that `benchmarks/checks.py` prints."""

REVISION = 1
"""Raised when a check asks for more than it did under the same code."""

CHECKS: Mapping[str, Check] = {check.code: check for check in _ENVIRONMENT}
"""Every check of an environment by code, in the order they run."""

AGENT: Mapping[str, Check] = {check.code: check for check in _AGENT}
"""Every check of an agent behind HTTP."""

_OF_JUDGES = (
    *(
        replace(
            check, code=f"{prefix}-{check.code}", title=f"the {judge} {check.title}", why=check.why.format(judge=judge)
        )
        for prefix, judge in (("EVAL", "score"), ("REWARD", "reward"))
        for check in _OF_EACH_JUDGE
    ),
    *_JUDGED_ALONE,
)

EVERY: Mapping[str, Check] = {**CHECKS, **{check.code: check for check in _OF_JUDGES}, **AGENT}
"""These, and the checks of scores, rewards, budgets and data."""

VERSION = f"{REVISION}-{digest(sorted(CHECKS))[:12]}"
"""Of the catalogue: what was certified by another one is to be checked again."""
