"""The checks of scores, rewards, budgets and data: code, title, why it matters, what to do when it fails.

Plain rows, joined into the catalogue by ``practicum.checks.catalogue``.
"""

Row = tuple[str, str, str, str]

_JUDGED = (
    (
        "RAISES",
        "does not raise",
        "A rollout whose {judge} raises is lost: what the {judge} cannot read is not counted as wrong "
        "but as never tried.",
        "Give 0 for an answer that cannot be read; raise only for what is wrong with the task itself.",
    ),
    (
        "RANGE",
        "is a finite number in its range",
        "NaN or a number out of range would poison means and advantages; such a rollout is dropped.",
        "Return a number in [0, 1], or set signed = True on the function and stay in [-1, 1].",
    ),
    (
        "REPEAT",
        "gives the same rollout the same number",
        "Noise of the {judge} is learned from as if the policy had done something; and no number can be shown again.",
        "Take randomness, time and everything remembered between rollouts (mutable defaults, globals) out of it.",
    ),
    (
        "SLOW",
        "takes little time",
        "It runs for every rollout: what takes seconds each time is most of a training step.",
        "Do once what is the same for all rollouts; keep answers of a judge model on disk (cache=).",
    ),
    (
        "CONSTANT",
        "pays for guesses no more than chance",
        "An answer that is the same for every task earns what only knowledge should: the policy stops looking.",
        "Compare whole values of the same type for equality: no substrings, no 'unknown equals everything'.",
    ),
    (
        "FORM",
        "pays nothing for an answer in the wrong form",
        "A reader that finds the right value anywhere also finds it among all others: an agent that says everything "
        "is right.",
        "Take exactly one block under the tag, holding one JSON object with exactly the fields asked for.",
    ),
    (
        "NEAR",
        "pays nothing for a value that is nearly right",
        "Wrong values pass for right ones; the policy drifts to whatever is cheapest to say.",
        "Compare type and value exactly: case, spaces, digits, sign.",
    ),
    (
        "IDLE",
        "pays nothing for no work",
        "Doing nothing is the first thing a policy finds.",
        "Give 0 to an empty answer, to an echo, and to what cannot be read.",
    ),
    (
        "EFFORT",
        "pays nothing for toil without a result",
        "Calls and words are what a policy makes most easily; what pays for them gets more of them.",
        "Judge the result. If steps shall pay, pay each milestone once and document it.",
    ),
    (
        "TOLD",
        "does not believe what the agent says of itself",
        "The agent writes its own mark.",
        "Read numbers from the task and the final state, never from the agent's text; show a judge model the work as "
        "data, and let it see the label.",
    ),
)

_OWN: tuple[Row, ...] = (
    (
        "EVAL-MISSING",
        "there is a score",
        "Without a score that is not the reward, nobody can tell training from hacking.",
        "Define score beside the environment, such as score = score_fields(tag='final_output', exact=True).",
    ),
    (
        "EVAL-UNSOLVED",
        "the oracle's rollouts are a success",
        "If the known solution is no success, a better model will not look better.",
        "Compare the oracle's answer with the label: one of oracle, tools, label and score is wrong.",
    ),
    (
        "EVAL-ZERO",
        "the base model's score is above 0",
        "Where nothing ever succeeds there is nothing to reinforce.",
        "Get a foothold: practicum warmstart, or easier tasks (a lower level).",
    ),
    (
        "EVAL-REFERENCE",
        "a reference model's score is on record",
        "A number means something beside another: how far does a strong model get on the same tasks?",
        "Evaluate one: name its endpoint and run practicum baseline.",
    ),
    (
        "EVAL-DEPENDENT",
        "no judge model is the policy itself",
        "A model that marks its own work learns to please itself.",
        "Use another model as judge.",
    ),
    (
        "REWARD-FLAT",
        "varies over baseline rollouts",
        "Equal rewards within every group give no gradient.",
        "Pay for parts (partial=True), mix in easier tasks, or get a foothold first.",
    ),
    (
        "REWARD-ABOVE",
        "is above the score only for a documented reason",
        "What is rewarded without being right is what will be learned.",
        "Tighten the reward; or where it pays for parts on purpose, say so: reward.excuses = {'above-score': 'why'}.",
    ),
    (
        "REWARD-RANK",
        "ranks no failure with a success",
        "A failure that earns what a success earns is as good to the policy, and cheaper.",
        "Leave room between the most that parts can earn and what success earns.",
    ),
    (
        "REWARD-COMPONENTS",
        "logs its components",
        "A sum hides which of its parts moves; a hacked part shows first on its own.",
        "Return (number, {name: part}), the same names every time; practicum.scoring.weighted does it.",
    ),
    (
        "BUDGET-TURNS",
        "turns suffice for half as many again as a walkthrough",
        "Rollouts that run out of turns teach that nothing works.",
        "Set max_turns to ceil(1.5 × turns of a walkthrough).",
    ),
    (
        "BUDGET-CONTEXT",
        "the longest rollout fits the context",
        "A rollout that outgrows the context is cut off in the middle, whatever it was about to do.",
        "Lower max_turns or sampling_max_tokens, shorten what tools say, or raise max_sequence_length.",
    ),
    (
        "BUDGET-TOKENS",
        "under 5% of rollouts reach the cap on a turn's tokens",
        "A turn cut off at the cap is mostly a lost rollout.",
        "Raise sampling_max_tokens.",
    ),
    (
        "BUDGET-EXHAUSTED",
        "under 10% of rollouts run out of turns",
        "They end without an answer and say nothing about the task.",
        "Raise max_turns.",
    ),
    (
        "DATA-OVERLAP",
        "no task stands in two splits",
        "What was trained on cannot be tested on.",
        "Remove the copies; split by what the answer depends on.",
    ),
    (
        "DATA-NEAR",
        "no task is nearly one of another split",
        "A task that was trained on in other words is not a test either.",
        "Put tasks that are alike into the same split.",
    ),
    (
        "DATA-DUPLICATE",
        "no task stands twice in a split",
        "It is weighed twice.",
        "Remove the copies.",
    ),
    (
        "DATA-SMALL",
        "there is at least a batch of training tasks",
        "A step needs a batch.",
        "Give more tasks, or lower global_batch_size.",
    ),
    (
        "DATA-LABEL",
        "every task has a label where others have one",
        "A task without a label cannot be judged: its rollouts fail.",
        "Give it a label, or take it out.",
    ),
    (
        "DATA-LEAK",
        "the label cannot be read off the prompt",
        "The policy copies the answer from the question and learns nothing about the tools.",
        "Take what gives the label away out of the prompt.",
    ),
)


def rows() -> tuple[Row, ...]:
    """All rows; what scores and rewards share stands once for each."""
    shared = [
        (f"{prefix}-{name}", f"the {judge} {title}", why.format(judge=judge), fix)
        for prefix, judge in (("EVAL", "score"), ("REWARD", "reward"))
        for name, title, why, fix in _JUDGED
    ]
    own = [
        (code, f"the reward {title}" if code.startswith("REWARD") else title, why, fix)
        for code, title, why, fix in _OWN
    ]
    return (*shared, *own)
