"""Code repair: broken throughout, mendable throughout, split by function, reproduced by its generator."""

import ast
import asyncio
import json
import re
import sys
from itertools import combinations

import pytest

from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.scoring.executed import LIMITS, expected, passes, run_cases
from practicum.suites.code_repair import CodeRepair, reward, score
from practicum.suites.code_repair.bugs import broken, overlap, repairs
from practicum.tasks import TaskSet
from practicum.trajectory import Rollout
from tools.suites.code_repair import FAMILIES, PIECES, generate

SPLITS = ("train", "validation", "test")
LEVELS = (1, 2, 3, 4)
FOLDER = CodeRepair().folder


def recorded(level):
    return json.loads((FOLDER / "fixtures" / "tasks.json").read_text())[str(level)]


def verdict(task, files, rule=reward):
    rollout = Rollout(task, [{"role": "assistant", "content": "done"}], [], {"files": files}, "final")
    return asyncio.run(judge(rule, rollout))


def play(repair, task):
    """Plays the oracle as an agent would; how many calls it made, what the last one said, the files at the end."""
    repair.reset(task, 0)
    oracle, result, calls = repair.oracle(task), None, 0
    try:
        while True:
            call = oracle.send(result)
            answered = repair.call(call.name, call.arguments)
            assert not answered.is_error, (call, answered.text)
            result, calls = json.loads(answered.text), calls + 1
    except StopIteration as end:
        assert end.value == "done"
        files = repair.final_state()["files"]
        repair.close()
        return calls, result, files


@pytest.mark.parametrize("level", LEVELS)
def test_the_oracle_solves_tasks_of_every_level_and_split_in_the_sandbox(level):
    repair = CodeRepair(level)
    for split in SPLITS:
        for task in repair.tasks(split)[:36:18]:
            calls, result, files = play(repair, task)
            assert calls + 1 <= repair.max_turns
            assert result["passed"] > 0
            assert result["failed"] == {}
            found = verdict(task, files)
            assert (found.total, found.components["exact"]) == (1, 1), task


@pytest.mark.parametrize("level", LEVELS)
def test_the_oracles_edits_lead_every_task_to_the_right_modules(level):
    repair = CodeRepair(level)
    for split in SPLITS:
        for task in repair.tasks(split):
            repair.reset(task, 0)
            for path, text in repair.final_state()["files"].items():
                right = PIECES[path.removesuffix(".py")].source
                edits = list(repairs(text, right))
                assert len(edits) <= 3
                for old, new in edits:
                    assert text.count(old) == 1
                    assert max(len(old), len(new)) <= 2000
                    text = text.replace(old, new)  # noqa: PLW2901
                assert text == right
            repair.close()


def test_every_case_comes_to_what_is_recorded_when_the_right_modules_run_in_the_sandbox():
    modules = json.loads((FOLDER / "fixtures" / "modules.json").read_text())
    assert modules.keys() == PIECES.keys()
    files = {f"{name}.py": module["source"] for name, module in modules.items()}
    cases = [(name, *case) for name, module in modules.items() for case in module["cases"]]
    codes = [f"from {name} import *\n{code}" for name, code, _, _ in cases]
    outcomes = asyncio.run(run_cases(files, codes, limits=LIMITS))
    for (name, code, kind, what), outcome in zip(cases, outcomes, strict=True):
        assert passes(outcome, expected({"code": code, kind: what})), (name, code, outcome)


def test_every_bug_is_noticed_and_leaves_something_right():
    for name, piece in PIECES.items():
        assert len({bug.right + bug.wrong for bug in piece.bugs}) == len(piece.bugs) >= 6
        assert len(set(piece.cases)) == len(piece.cases) >= 12
        for bug in range(len(piece.bugs)):
            assert len(generate.fails(name, (bug,))) >= 2, (name, bug)


@pytest.mark.parametrize("level", LEVELS)
def test_hidden_tests_tell_every_partly_repaired_task_from_the_right_one(level):
    for split, tasks in recorded(level).items():
        for number, task in enumerate(tasks):
            assert [len(bugs) for _, bugs, *_ in task] == list(generate.LEVELS[level])
            for name, bugs, shown, failing, shy in task:
                hidden = set(range(len(PIECES[name].cases))) - set(shown) - set(shy)
                assert len(hidden) >= 6
                assert set(failing) == generate.fails(name, tuple(bugs)) & hidden
                for size in range(1, len(bugs) + 1):
                    for some in combinations(bugs, size):
                        assert generate.fails(name, some) & hidden, (split, number, name, some)
                # Without traps every bug meets a test that is shown.
                assert all(generate.fails(name, (bug,)) & set(shown) for bug in bugs)
                if shy:
                    assert not generate.fails(name, tuple(bugs[-1:])) & set(shy)
                    assert number % generate.SHY == 0


@pytest.mark.parametrize("level", LEVELS)
def test_no_hidden_test_is_shown_with_traps_or_without(level):
    for split in SPLITS:
        for pair in zip(CodeRepair(level).tasks(split), CodeRepair(level, traps=False).tasks(split), strict=True):
            hidden = [case["code"] for case in pair[0].answer["cases"]]
            assert hidden == [case["code"] for case in pair[1].answer["cases"]]
            assert any(not case.get("kept") for case in pair[0].answer["cases"])
            for task in pair:
                for name, bugs, shown in task.metadata["modules"]:
                    assert not bugs or not {PIECES[name].cases[case] for case in shown} & set(hidden)


def test_splits_share_no_function_at_any_level():
    homes = {}
    for level in LEVELS:
        for split in SPLITS:
            tasks = TaskSet(CodeRepair(level, distractors=3).tasks(split))
            for name in {name for task in tasks for name, *_ in task.metadata["modules"]}:
                assert homes.setdefault(name, split) == split
    assert homes.keys() == PIECES.keys()
    assert len(homes) >= 25
    for family in FAMILIES.values():
        assert {homes[piece.name] for piece in family} == set(SPLITS)


def test_tasks_are_asked_once_and_splits_have_the_sizes_the_generator_names():
    prompts, ids = set(), set()
    for level in LEVELS:
        tasks = [task for split in SPLITS for task in CodeRepair(level).tasks(split)]
        assert {split: len(CodeRepair(level).tasks(split)) for split in SPLITS} == generate.SIZES
        prompts |= {task.prompt for task in tasks}
        ids |= {task.id for task in tasks}
        assert len({json.dumps(task.metadata["modules"][: len(generate.LEVELS[level])]) for task in tasks}) == len(
            tasks
        )
    assert len(prompts) == len(ids) == len(LEVELS) * sum(generate.SIZES.values())


def test_modules_of_a_task_can_be_imported_together():
    names = [name for piece in PIECES.values() for name in re.findall(r"^(?:def|class) (\w+)", piece.source, re.M)]
    assert len(set(names)) == len(names)
    assert not set(PIECES) & {"tests", *sys.stdlib_module_names}


def test_the_generator_writes_the_committed_bytes(tmp_path):
    generate.write_fixtures(tmp_path)
    made = sorted(tmp_path.iterdir())
    committed = sorted((FOLDER / "fixtures").iterdir())
    assert [path.name for path in made] == [path.name for path in committed] == ["modules.json", "tasks.json"]
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in committed]
    assert sum(path.stat().st_size for path in made) < 200_000


def test_a_bug_stands_once_and_bugs_that_touch_are_not_combined():
    source, one, two = "a = 1\nb = 1\n", _change("a = 1", "a = 2"), _change("= 1\nb", "= 3\nb")
    assert broken(source, [one]) == "a = 2\nb = 1\n"
    assert overlap(source, [one, two])
    with pytest.raises(ValueError, match="apart"):
        broken(source, [one, two])
    with pytest.raises(ValueError, match="once"):
        broken(source, [_change("1", "2")])


def _change(right, wrong):
    return generate.PIECES["slug"].bugs[0].__class__("operator", right, wrong)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a\nb\nc\n", "a\nX\nc\n"),
        ("x\nx\nx\n", "x\ny\nx\n"),
        ("a\nc\n", "a\nb\nc\n"),
        ("a\nb\nb\nb\nc\n", "a\nb\nb\nc\n"),
        ("a\n", "a\nb\n"),
        ("b\n", "a\nb\n"),
        ("a\nx\nb\ny\n", "a\n1\nb\n2\n"),
    ],
)
def test_repairs_lead_to_the_right_text(text, right):
    for old, new in repairs(text, right):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert text == right


def test_a_task_with_a_trap_shows_passing_tests_and_is_broken_all_the_same():
    repair = CodeRepair(1)
    shy, plain = repair.tasks("test")[0], CodeRepair(1, traps=False).tasks("test")[0]
    assert (shy.id, shy.prompt, shy.answer) == (plain.id, plain.prompt, plain.answer)
    repair.reset(shy, 0)
    assert json.loads(repair.call("run_tests", {}).text)["failed"] == {}
    assert verdict(shy, repair.final_state()["files"]).total == 0
    repair.reset(plain, 0)
    assert json.loads(repair.call("run_tests", {}).text)["failed"]
    traps = [a.metadata["modules"] != b.metadata["modules"] for a, b in zip(*_both("train"), strict=True)]
    assert 0.25 < sum(traps) / len(traps) < 0.4


def _both(split):
    return CodeRepair(1).tasks(split), CodeRepair(1, traps=False).tasks(split)


def called(repair, name, **arguments):
    result = repair.call(name, arguments)
    return result.is_error, json.loads(result.text)


def test_answers_made_up_for_the_shown_tests_are_not_a_repair():
    """The module as it is, but that the shown inputs are looked up."""
    repair = CodeRepair(1, traps=False)
    names = {"slug": "slug", "squeeze": "squeeze", "roman": "roman", "reckon": "reckon"}
    tasks = [task for split in SPLITS for task in repair.tasks(split) if task.metadata["modules"][0][0] in names]
    assert len(tasks) > 20
    for task in tasks[::6]:
        name, _, shown = task.metadata["modules"][0]
        cases = [json.loads((FOLDER / "fixtures" / "modules.json").read_text())[name]["cases"][case] for case in shown]
        known = {
            ast.literal_eval(code[len(name) :]): ast.literal_eval(what) for code, kind, what in cases if kind == "gives"
        }
        refused = [ast.literal_eval(code[len(name) :]) for code, kind, _ in cases if kind == "raises"]
        repair.reset(task, 0)
        text = json.loads(repair.call("read_file", {"path": f"{name}.py"}).text)["text"]
        text += f"\n\nbefore = {name}\n\ndef {name}(given):\n    if given in {refused!r}:\n        raise ValueError\n"
        text += f"    return {known!r}[given] if given in {known!r} else before(given)\n"
        assert not called(repair, "write_file", path=f"{name}.py", text=text)[0]
        assert called(repair, "run_tests")[1]["failed"] == {}
        found = verdict(task, repair.final_state()["files"])
        assert (found.components["exact"], found.components["repaired"]) == (0, 0)
        repair.close()


def test_half_a_repair_earns_part_of_the_reward_and_none_of_the_score():
    repair = CodeRepair(4)
    task = repair.tasks("validation")[1]
    repair.reset(task, 0)
    name = task.metadata["modules"][0][0]
    called(repair, "write_file", path=f"{name}.py", text=PIECES[name].source)
    state = repair.final_state()["files"]
    assert verdict(task, state, score).total == 0
    assert 0 < verdict(task, state).total < 0.5


def test_the_label_is_never_told():
    for level in LEVELS:
        for task in CodeRepair(level).tasks("test")[::20]:
            repair = CodeRepair(level)
            repair.reset(task, 0)
            told = repair.system_prompt(task) + task.prompt
            told += "".join(
                repair.call("read_file", {"path": path}).text for path in json.loads(_listed(repair))["files"]
            )
            repair.close()
            for case in task.answer["cases"]:
                assert case["code"] not in told or len(case["code"]) < 10 or case["code"] in _elsewhere(task)


def _listed(repair):
    return repair.call("list_files", {}).text


def _elsewhere(task):
    """Codes that are shown anyway, as a part of a test that is."""
    return "".join(PIECES[name].cases[case] for name, _, shown in task.metadata["modules"] for case in shown)


def test_a_difficulty_is_part_of_the_digest_and_others_are_refused():
    digests = {CodeRepair(*given).digest for given in ((1,), (2,), (2, 0), (2, 1, False))}
    assert len(digests) == 4
    assert CodeRepair().digest == CodeRepair(1, 1, True).digest
    for wrong, message in (({"level": 0}, "no level 0"), ({"level": True}, "no level True")):
        with pytest.raises(EnvironmentFault, match=message):
            CodeRepair(**wrong)
    with pytest.raises(EnvironmentFault, match="no distractors 4"):
        CodeRepair(distractors=4)
    with pytest.raises(EnvironmentFault, match="no traps None"):
        CodeRepair(traps=None)
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        CodeRepair().tasks("dev")


def test_distractors_are_right_modules_of_the_same_split():
    few, many = CodeRepair(2, distractors=0), CodeRepair(2, distractors=3)
    for plain, task in zip(few.tasks("validation"), many.tasks("validation"), strict=True):
        assert plain.answer == task.answer
        assert len(task.metadata["modules"]) == len(plain.metadata["modules"]) + 3
        assert all(bugs == [] for _, bugs, _ in task.metadata["modules"][1:])
