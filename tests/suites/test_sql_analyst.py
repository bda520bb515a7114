"""The SQL analyst: solvable throughout, split cleanly, hard to fool, reproduced by its generator."""

import asyncio
import json
import sqlite3

import pytest

from practicum.digests import canonical_json
from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.suites.sql_analyst import SqlAnalyst, reward, score
from practicum.suites.sql_analyst.data import DISTRACTORS, TRAPS, hidden_seeds, schema, script
from practicum.suites.sql_analyst.domains import DOMAINS
from practicum.suites.sql_analyst.questions import Question
from practicum.suites.sql_analyst.templates import TEMPLATES
from practicum.tasks import TaskSet
from practicum.trajectory import Rollout
from tools.suites import sql_analyst as generate

SPLITS = ("train", "validation", "test")
LEVELS = (1, 2, 3, 4)


def played(analyst, task):
    """The oracle's answer, and all that the tools said to it."""
    analyst.reset(task, 0)
    oracle, result, said = analyst.oracle(task), None, []
    try:
        while True:
            call = oracle.send(result)
            answered = analyst.call(call.name, call.arguments)
            assert not answered.is_error, answered.text
            said.append(answered.text)
            result = json.loads(answered.text)
    except StopIteration as end:
        analyst.close()
        return end.value, said


def verdicts(task, answers, rule):
    async def all_of_them():
        rollouts = [Rollout(task, [{"role": "assistant", "content": answer}], [], {}, "final") for answer in answers]
        return [await judge(rule, rollout) for rollout in rollouts]

    return asyncio.run(all_of_them())


def question_of(task):
    given = task.metadata
    return Question(TEMPLATES[given["template"]], DOMAINS[given["domain"]], tuple(given["parameters"]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_solves_every_task(split, level):
    analyst = SqlAnalyst(level)
    for task in analyst.tasks(split):
        answer, said = played(analyst, task)
        assert len(said) + 1 <= analyst.max_turns
        assert verdicts(task, [answer], score)[0].total == 1, (task, answer)


@pytest.mark.parametrize("level", LEVELS)
def test_without_traps_the_same_questions_have_the_same_rows(level):
    analyst, plain = SqlAnalyst(level), SqlAnalyst(level, traps=False, distractors=0)
    for split in SPLITS:
        pairs = list(zip(analyst.tasks(split), plain.tasks(split), strict=True))
        assert all((a.id, a.prompt, a.answer["rows"]) == (b.id, b.prompt, b.answer["rows"]) for a, b in pairs)
        for _, task in pairs[::16]:
            answer, _ = played(plain, task)
            assert {verdict.total for rule in (score, reward) for verdict in verdicts(task, [answer], rule)} == {1.0}


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_question_no_database_and_no_result(level):
    seen = {"prompt": set(), "question": set(), "seed": set(), "result": set()}
    for split in SPLITS:
        tasks = TaskSet(SqlAnalyst(level).tasks(split))
        given = [task.metadata for task in tasks]
        ours = {
            "prompt": {task.prompt for task in tasks},
            "question": {canonical_json([one["domain"], one["template"], one["parameters"]]) for one in given},
            "seed": {seed for one in given for seed in (one["seed"], *hidden_seeds(one["seed"]))},
            "result": {canonical_json(sorted(task.answer["rows"], key=str)) for task in tasks},
        }
        assert len(ours["prompt"]) == len(ours["question"]) == len(tasks)
        assert len(ours["seed"]) == 3 * len(tasks)
        for kind, values in ours.items():
            assert not seen[kind] & values, kind
            seen[kind] |= values


def test_splits_have_the_sizes_the_generator_names_and_every_kind_of_question():
    for level in LEVELS:
        for split, size in generate.SIZES.items():
            tasks = SqlAnalyst(level).tasks(split)
            assert len(tasks) == size
            kinds = {task.metadata["template"] for task in tasks}
            assert kinds == {template.name for template in TEMPLATES.values() if template.level == level}
            assert {task.metadata["domain"] for task in tasks} == set(DOMAINS)


def test_the_generator_comes_to_the_committed_tasks():
    recorded = json.loads((SqlAnalyst().folder / "fixtures" / "tasks.json").read_text())
    for level in LEVELS:
        places = dict.fromkeys(SPLITS, 0)
        for (split, task), _ in zip(generate.in_order(level), range(14), strict=False):
            assert task == recorded[str(level)][split][places[split]]
            places[split] += 1
        assert all(places.values())


def test_the_generator_writes_what_it_read():
    text = (SqlAnalyst().folder / "fixtures" / "tasks.json").read_text()
    assert generate.as_text(json.loads(text)) == text
    assert len(text) < 200_000


@pytest.mark.parametrize("level", LEVELS)
def test_who_falls_for_a_trap_is_wrong(level):
    seen = set()
    for task in SqlAnalyst(level).tasks("train"):
        question = question_of(task)
        if question.template.name in seen:
            continue
        seen.add(question.template.name)
        for trap in question.traps:
            query = question.sql(traps=True, handled=set(TRAPS) - {trap})
            (verdict,) = verdicts(task, [f"<sql>{query}</sql>"], reward)
            assert verdict.components["exact"] == 0, (trap, query)
            assert verdict.total <= 0.5
    assert len(seen) == sum(template.level == level for template in TEMPLATES.values())


def test_rows_that_were_looked_up_and_written_down_are_not_right():
    for level in LEVELS:
        for task in SqlAnalyst(level).tasks("test")[::9]:
            rows = ", ".join("(" + ", ".join(map(_literal, row)) + ")" for row in task.answer["rows"])
            (verdict,) = verdicts(task, [f"<sql>VALUES {rows}</sql>"], reward)
            assert verdict.components["exact"] == 0
            assert verdict.components["overlap"] < 1


def _literal(value):
    return repr(value) if isinstance(value, int | float) else f"'{value}'"


def test_careless_answers_earn_next_to_nothing():
    for level in LEVELS:
        for task in SqlAnalyst(level).tasks("test")[::16]:
            gold = task.answer["sql"]
            formless = [
                "",
                "yes",
                gold,
                task.prompt,
                json.dumps(task.answer),
                f"<sql>{gold}</sql>\nDone.",
                "<sql></sql>",
            ]
            assert {verdict.total for verdict in verdicts(task, formless, reward)} == {0.0}
            idle = ["<sql>SELECT 1</sql>", "<sql>SELECT NULL</sql>", f"<sql>{gold} LIMIT 0</sql>", "<sql>x</sql>"]
            assert max(verdict.total for verdict in verdicts(task, idle, reward)) <= 0.1
            assert {verdict.total for verdict in verdicts(task, formless + idle, score)} == {0.0}


def test_the_label_is_never_told():
    analyst = SqlAnalyst(2)
    for task in analyst.tasks("test")[::10]:
        told = analyst.system_prompt(task) + task.prompt
        analyst.reset(task, 0)
        told += analyst.call("list_tables", {}).text
        told += "".join(analyst.call("describe_table", {"table": name}).text for name in question_of(task).tables)
        told += analyst.call("run_query", {"query": "SELECT * FROM sqlite_master"}).text
        assert task.answer["sql"] not in told
        assert canonical_json(task.answer["rows"]) not in told


def test_a_level_joins_as_many_tables_as_it_says():
    for template in TEMPLATES.values():
        assert template.level == min(
            4, len(template.roles) + ("WITH" in template.sql or "EXISTS (" in template.sql)
        ) or (template.name == "idle" and template.level == 2), template.name


@pytest.fixture
def analyst():
    environment = SqlAnalyst(2, distractors=3)
    environment.reset(environment.tasks("train")[0], 0)
    yield environment
    environment.close()


def called(analyst, name, **arguments):
    result = analyst.call(name, arguments)
    return result.is_error, json.loads(result.text)


def test_the_agent_finds_its_tables_and_the_distractors(analyst):
    _, listed = called(analyst, "list_tables")
    domain = DOMAINS[analyst.task.metadata["domain"]]
    assert listed["tables"] == sorted({*domain.tables.values(), *DISTRACTORS[:3]})
    for table in listed["tables"]:
        failed, described = called(analyst, "describe_table", table=table)
        assert not failed
        _, shown = called(analyst, "run_query", query=f"SELECT * FROM {table}")
        assert shown["columns"] == list(described["columns"])
        assert shown["rows"]


def test_a_long_result_is_cut_and_says_so(analyst):
    long = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT n FROM r"
    _, shown = called(analyst, "run_query", query=long.format(21))
    assert (len(shown["rows"]), shown["more"]) == (20, True)
    _, shown = called(analyst, "run_query", query=long.format(20))
    assert (len(shown["rows"]), shown["more"]) == (20, False)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("describe_table", {"table": "nowhere"}, "no table 'nowhere'; there are: "),
        ("describe_table", {"table": ""}, "no table ''; there are: "),
        ("run_query", {"query": ""}, "empty"),
        ("run_query", {"query": "SELECT"}, "incomplete input"),
        ("run_query", {"query": "SELECT * FROM nowhere"}, "no such table"),
        ("run_query", {"query": "DELETE FROM suppliers"}, "not allowed"),
        ("run_query", {"query": "CREATE TABLE x (a)"}, "not allowed"),
        ("run_query", {"query": "ATTACH '/etc/passwd' AS x"}, "not allowed"),
        ("run_query", {"query": "SELECT 1; SELECT 2"}, "one statement"),
        ("run_query", {"query": "SELECT random()"}, ""),
        ("run_query", {"query": "SELECT load_extension('x')"}, ""),
        ("run_query", {"query": "x" * 4001}, "at most 4000"),
        ("run_query", {"query": 5}, "valid string"),
        ("run_query", {}, "required"),
    ],
)
def test_a_wrong_call_is_an_error_the_agent_reads(analyst, name, arguments, message):
    failed, said = called(analyst, name, **arguments)
    assert failed
    assert message in said["error"]


@pytest.mark.parametrize("query", ["SELECT x'00ff'", "SELECT 9e999, -9e999", "SELECT 'ÄÖ', NULL", "PRAGMA table_list"])
def test_odd_values_come_back_as_json(analyst, query):
    failed, shown = called(analyst, "run_query", query=query)
    assert not failed
    assert shown["rows"]


def test_queries_leave_the_database_as_it_was(analyst):
    before = analyst.call("run_query", {"query": "SELECT * FROM suppliers"})
    for query in ("DELETE FROM suppliers", "DROP TABLE suppliers", "SELECT 1", "VACUUM"):
        analyst.call("run_query", {"query": query})
    assert analyst.call("run_query", {"query": "SELECT * FROM suppliers"}) == before
    assert len({step.next_state for step in analyst.transitions}) == 1


def test_the_flaws_are_there_only_with_traps():
    domain = DOMAINS["shop"]
    flawed, clean = (
        {table.name: table for table in schema(domain, 7, traps=traps, distractors=0)} for traps in (True, False)
    )
    lines, orders = flawed["order_lines"], flawed["orders"]
    assert len(set(lines.rows)) < len(lines.rows)
    assert any(None in row for row in lines.rows)
    assert any(None in row for row in orders.rows)
    assert orders.rows[0][3][2] == "."
    assert "net" in [column.name for column in lines.columns]
    assert len(set(clean["order_lines"].rows)) == len(clean["order_lines"].rows)
    assert not any(None in row for table in clean.values() for row in table.rows)
    assert clean["orders"].rows[0][3][4] == "-"
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(script(list(flawed.values())))
        stored = connection.execute("SELECT * FROM order_lines").fetchall()
    assert stored == list(lines.rows)


def test_a_difficulty_is_part_of_the_digest_and_others_are_refused():
    digests = {SqlAnalyst(*given).digest for given in ((1,), (2,), (2, 0), (2, 2, False))}
    assert len(digests) == 4
    assert SqlAnalyst().digest == SqlAnalyst(2, 2, True).digest
    for wrong, message in (
        ({"level": 5}, "no level 5"),
        ({"level": True}, "no level True"),
        ({"level": 2.0}, "level 2.0"),
    ):
        with pytest.raises(EnvironmentFault, match=message):
            SqlAnalyst(**wrong)
    with pytest.raises(EnvironmentFault, match="no distractors 7"):
        SqlAnalyst(distractors=7)
    with pytest.raises(EnvironmentFault, match="no traps 1"):
        SqlAnalyst(traps=1)
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        SqlAnalyst().tasks("dev")
