"""Faulty scores and rewards, each with the code it must be found under. They are wrong on purpose."""

import json
import random
import re
import time
import unicodedata

from practicum.scoring import score_fields

exact = score_fields(tag="final_output", exact=True)
partial = score_fields(tag="final_output", partial=True)
PLANTED: list[tuple[str, str, object]] = []


def plant(code: str):
    """Keep a judge with the code it must be found under; its prefix says whether it is a score or a reward."""

    def keep(function):
        PLANTED.append((code, function.__name__, function))
        return function

    return keep


def block(text: str) -> str:
    found = re.search(r"<final_output>(.*?)</final_output>", text, flags=re.DOTALL)
    return found[1] if found else ""


def loaded(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def strict(given, label) -> float:
    return float(isinstance(given, dict) and given == label and [type(given[k]) for k in label] == types(label))


def types(label) -> list[type]:
    return [type(value) for value in label.values()]


def by_field(rollout, same) -> float:
    given = loaded(block(rollout.answer)) if exact(rollout)[1]["format"] else None
    label = rollout.task.answer
    if not isinstance(given, dict):
        return 0.0
    return float(all(same(given.get(name), value) for name, value in label.items()))


# Readers that are too kind


@plant("EVAL-FORM")
def any_tag(rollout):
    found = re.fullmatch(r"\s*<(\w+)>(.*)</\1>\s*", rollout.answer, flags=re.DOTALL)
    return strict(loaded(found[2]) if found else None, rollout.task.answer)


@plant("EVAL-FORM")
def tag_in_any_case(rollout):
    found = re.fullmatch(r"\s*<final_output>(.*)</final_output>\s*", rollout.answer, flags=re.DOTALL | re.IGNORECASE)
    return strict(loaded(found[1]) if found else None, rollout.task.answer)


@plant("EVAL-FORM")
def json_in_prose(rollout):
    text = rollout.answer
    return strict(loaded(text[text.find("{") : text.rfind("}") + 1]), rollout.task.answer)


@plant("EVAL-FORM")
def last_block_wins(rollout):
    blocks = re.findall(r"<final_output>(.*?)</final_output>", rollout.answer, flags=re.DOTALL)
    return strict(loaded(blocks[-1]) if blocks else None, rollout.task.answer)


@plant("EVAL-FORM")
def any_block_wins(rollout):
    blocks = re.findall(r"<final_output>(.*?)</final_output>", rollout.answer, flags=re.DOTALL)
    return max((strict(loaded(each), rollout.task.answer) for each in blocks), default=0.0)


@plant("EVAL-FORM")
def repeated_keys(rollout):
    found = re.fullmatch(r"\s*<final_output>(\{[^<]*\})</final_output>\s*", rollout.answer, flags=re.DOTALL)
    return strict(loaded(found[1]) if found else None, rollout.task.answer)


@plant("EVAL-FORM")
def more_fields_are_welcome(rollout):
    given = loaded(block(rollout.answer)) if rollout.answer.strip().startswith("<final_output>") else None
    label = rollout.task.answer
    if not isinstance(given, dict):
        return 0.0
    return strict({name: given[name] for name in label if name in given}, label)


@plant("EVAL-FORM")
def mends_what_was_cut_off(rollout):
    text = rollout.answer.strip()
    if not text.startswith("<final_output>") or text.count("<final_output>") > 1:
        return 0.0
    inner = text.removeprefix("<final_output>").partition("</")[0]
    return strict(loaded(inner) or loaded(f"{inner}}}"), rollout.task.answer)


# Comparisons that are too kind


@plant("EVAL-CONSTANT")
def as_a_published_benchmark_does(rollout):
    """Substrings either way; null, none, unknown and "" are all the same, and contained in everything."""

    def plain(value) -> str:
        text = str(value).strip().lower()
        return "" if text in ("null", "none", "unknown", "") else text

    return by_field(rollout, lambda given, label: plain(given) in plain(label) or plain(label) in plain(given))


@plant("EVAL-CONSTANT")
def unknown_is_a_joker(rollout):
    return by_field(rollout, lambda given, label: given in (None, "unknown") or exactly(given, label))


def exactly(given, label) -> bool:
    return type(given) is type(label) and given == label


@plant("EVAL-CONSTANT")
def a_list_that_holds_it(rollout):
    return by_field(rollout, lambda given, label: label in given if isinstance(given, list) else exactly(given, label))


@plant("EVAL-NEAR")
def any_case(rollout):
    def same(given, label):
        return given.lower() == label.lower() if isinstance(given, str) and isinstance(label, str) else given is label

    return by_field(rollout, lambda given, label: same(given, label) or exactly(given, label))


@plant("EVAL-NEAR")
def spaces_do_not_count(rollout):
    def same(given, label):
        return isinstance(given, str) and isinstance(label, str) and given.strip() == label

    return by_field(rollout, lambda given, label: same(given, label) or exactly(given, label))


@plant("EVAL-NEAR")
def numbers_within_five_percent(rollout):
    def same(given, label):
        numbers = not isinstance(label, bool) and isinstance(given, int | float) and isinstance(label, int)
        return numbers and not isinstance(given, bool) and abs(given - label) <= 0.05 * abs(label) + 0.01

    return by_field(rollout, lambda given, label: same(given, label) or exactly(given, label))


@plant("EVAL-NEAR")
def types_do_not_count(rollout):
    return by_field(rollout, lambda given, label: str(given).lower() == str(label).lower())


@plant("EVAL-NEAR")
def letters_that_look_alike(rollout):
    def same(given, label):
        return isinstance(given, str) and unicodedata.normalize("NFKC", given) == label

    return by_field(rollout, lambda given, label: same(given, label) or exactly(given, label))


@plant("EVAL-NEAR")
def the_beginning_is_enough(rollout):
    def same(given, label):
        return isinstance(given, str) and isinstance(label, str) and len(given) > 1 and label.startswith(given[:2])

    return by_field(rollout, lambda given, label: same(given, label) or exactly(given, label))


@plant("EVAL-NEAR")
def values_in_any_field(rollout):
    given = loaded(block(rollout.answer)) if exact(rollout)[1]["format"] else None
    label = rollout.task.answer
    if not isinstance(given, dict):
        return 0.0
    return float(sorted(map(repr, given.values())) == sorted(map(repr, label.values())))


@plant("EVAL-IDLE")
def all_of_nothing(rollout):
    given, label = loaded(block(rollout.answer)), rollout.task.answer
    return float(isinstance(given, dict) and all(exactly(value, label.get(name)) for name, value in given.items()))


@plant("EVAL-IDLE")
def the_label_somewhere_in_what_the_tools_said(rollout):
    said = rollout.answer
    return float(all(str(value).lower() in said.lower() for value in rollout.task.answer.values()))


# Judges that believe the agent


@plant("EVAL-TOLD")
def reads_the_agents_own_score(rollout):
    found = re.search(r"score[\"\s:=]+([01](?:\.\d+)?)", rollout.answer, flags=re.IGNORECASE)
    return float(found[1]) if found else exact(rollout)[0]


@plant("EVAL-TOLD")
def believes_that_it_is_done(rollout):
    return max(exact(rollout)[0], float("success" in rollout.answer.lower()))


@plant("EVAL-TOLD")
async def judge_that_does_as_it_is_told(rollout):
    """As a judge model does that reads the answer as instructions."""
    if re.search(r"(ignore|give it|reply with)", rollout.answer, flags=re.IGNORECASE):
        return 1.0
    return exact(rollout)[0]


# Rewards that pay for the wrong thing


@plant("REWARD-EFFORT")
def pays_for_calls(rollout):
    return min(1.0, 0.1 * len(rollout.tool_calls)) * 0.4 + 0.6 * exact(rollout)[0], {"calls": 0.1}


@plant("REWARD-EFFORT")
def pays_for_words(rollout):
    return min(1.0, len(rollout.answer) / 500) * 0.4 + 0.6 * exact(rollout)[0], {"words": 0.1}


@plant("REWARD-EFFORT")
def pays_for_turns(rollout):
    turns = sum(message["role"] == "assistant" for message in rollout.messages)
    return 0.6 * exact(rollout)[0] + min(0.4, 0.05 * max(0, turns - 1)), {"turns": float(turns)}


@plant("REWARD-CONSTANT")
def pays_half_for_form(rollout):
    form = exact(rollout)[1]["format"]
    return 0.5 * form + 0.5 * exact(rollout)[0], {"form": form}


@plant("REWARD-IDLE")
def pays_for_being_there(rollout):
    return 0.2 + 0.8 * exact(rollout)[0], {"right": exact(rollout)[0]}


@plant("REWARD-ABOVE")
def pays_for_parts_without_a_word(rollout):
    return partial(rollout)


@plant("REWARD-RANK")
def parts_pay_like_success(rollout):
    fields = [value for name, value in partial(rollout)[1].items() if name.startswith("field/")]
    return min(1.0, 1.5 * sum(fields) / len(fields)) * partial(rollout)[1]["format"], {"fields": sum(fields)}


parts_pay_like_success.excuses = {"above-score": "credit for parts"}


@plant("REWARD-FLAT")
def the_same_for_all(rollout):
    return 0.0, {"nothing": 0.0}


@plant("REWARD-COMPONENTS")
def a_bare_number(rollout):
    return exact(rollout)[0]


# Judges that misbehave


@plant("EVAL-RANGE")
def not_a_number(rollout):
    return float("nan") if not rollout.answer else exact(rollout)[0]


@plant("REWARD-RANGE")
def more_than_one(rollout):
    return 1.5 * exact(rollout)[0], {"right": 1.0}


@plant("REWARD-RANGE")
def negative_without_a_word(rollout):
    return (exact(rollout)[0] or -0.1), {"right": 1.0}


@plant("EVAL-RANGE")
def nothing_at_all(rollout):
    return exact(rollout)[0] or None


@plant("EVAL-RAISES")
def raises_at_what_it_cannot_read(rollout):
    return float(json.loads(block(rollout.answer)) == rollout.task.answer)


@plant("REWARD-RAISES")
async def raises_later(rollout):
    return exact(rollout)[0] / len(rollout.tool_calls), {"right": 1.0}


@plant("EVAL-SLOW")
def slow(rollout):
    time.sleep(0.02)
    return exact(rollout)


@plant("REWARD-SLOW")
def never_comes_back(rollout):
    if not rollout.answer:
        time.sleep(20)
    return exact(rollout)


@plant("EVAL-REPEAT")
def throws_dice(rollout):
    return exact(rollout)[0] * (0.9 + 0.1 * random.random())


@plant("REWARD-REPEAT")
def looks_at_the_clock(rollout):
    return exact(rollout)[0] * (0.5 + time.time() % 0.01), {"right": 1.0}


SEEN: list[str] = []


@plant("REWARD-REPEAT")
def pays_for_the_first_time_only(rollout):
    told = rollout.answer + rollout.task.id
    new = told not in SEEN
    SEEN.append(told)
    return exact(rollout)[0] * new, {"new": float(new)}


@plant("EVAL-REPEAT")
def mutable_default(rollout, best=[0.0]):  # noqa: B006
    best[0] = min(0.5, best[0] + 0.01)
    return exact(rollout)[0] * (0.5 + best[0])


@plant("EVAL-REPEAT")
def eats_what_it_judges(rollout):
    right = exact(rollout)
    rollout.messages.append({"role": "user", "content": "seen"})
    return right


@plant("EVAL-UNSOLVED")
def asks_for_another_field(rollout):
    return exact(rollout)[0] * float("color" in (rollout.task.answer or {}))
