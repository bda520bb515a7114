"""What a check had nothing to look at for: it is skipped, with the reason, and never said to have passed."""

from collections.abc import Sequence

from practicum.checks.processes.stage import stage
from practicum.checks.trial import Trial
from practicum.checks.ways.abandoned import Aftermath
from practicum.checks.ways.solo import has_oracle


def unseen_in_tasks() -> dict[str, str]:
    """Of the checks on what is asked, by code; asked where the tasks are loaded."""
    every = [task for tasks in stage().tasks.values() for task in tasks]
    labels = [task.answer for task in every if task.answer]
    unseen = {}
    if not labels:
        unseen["ENV-LABEL"] = "no task has a label"
    elif all(label == labels[0] for label in labels) and len(labels) == len(every):
        unseen["ENV-LABEL"] = "all tasks have the same label: none can be told from what others are asked"
    if len(every) < 2:
        unseen["ENV-DUPLICATE"] = "there is only one task"
    return unseen


def unseen_in_play(trial: Trial) -> dict[str, str]:
    """Of the checks that need an answer of the oracle, or tools that were shown, by code."""
    unseen = {}
    played = [
        transcript
        for plan, transcript in zip(trial.plans, trial.transcripts, strict=True)
        if plan.origin == "oracle" and not transcript["fault"]
    ]
    if has_oracle(trial.target.environment):
        if not played:
            unseen["ENV-UNSOLVED"] = "no episode of the oracle came to its end"
        elif trial.target.score is None:
            unseen["ENV-UNSOLVED"] = "there is no score to judge the oracle's answers by"
    if not any(transcript["tools"] for transcript in trial.transcripts):
        faulty = any(transcript["fault"] for transcript in trial.transcripts)
        why = "no episode came as far as to show its tools" if faulty else "the environment has no tools"
        unseen["ENV-UNBOUNDED"] = why
        if faulty:
            unseen["ENV-FIDELITY"] = why
    return unseen


def unseen_in_bad_ends(trial: Trial, aftermaths: Sequence[Aftermath]) -> dict[str, str]:
    """Of the check on episodes that end badly: without calls and lines there is nothing to leave half done."""
    if any(each.where or each.trouble is not None for each in aftermaths):
        return {}
    if any(transcript["tools"] for transcript in trial.transcripts):
        return {}
    return {"ENV-ABANDON": "there is no tool to call, and no line of the environment's own runs in an episode"}
