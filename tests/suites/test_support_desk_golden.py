"""Levels 2 and 4 of the support desk, to the byte: published results rest on them."""

import hashlib
import json

import pytest

from practicum.suites.support_desk import SupportDesk

GOLDEN = {
    2: {
        "openings": "7cd283b6c63bdda304523840194d53414c1c230b3656b5f24c13bb8e6ff37ac7",
        "results": "b490a09c5659e3d7e3a508a550bc78821b40a89c2f7dae3a202db139457df8d6",
        "schemas": "5ae979c5c6d9738cb54f41510d21e1550370e86f3069d6ccedd3a9d542329253",
        "tasks": "ebdf9b7047f7e6992b9b3fe84bcee86da101e45058d6fe844fb8b2c1b7c7cff1",
        "transcripts": "96470452808e9e928384ba1c002710737736efc5ca91f7659ddaba690e6d638b",
        "turns": "ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d",
    },
    4: {
        "openings": "3070027b803d44705a543861a40a5d0a5e65f41e1d0f54ec45186bd6a71e5cf0",
        "results": "03d56ca042519a7fb2f82e543314335292a896113010e906abef4182db887595",
        "schemas": "23c28687e514e8eaa57cb14c2f530d15c99f815c1e0c8aad7382c910aec098db",
        "tasks": "b3c441349d5f6fc8eeab4da9ba628d38e816009e280ef06371e854091012ede3",
        "transcripts": "deda89e03ce63f2b10b58981878871735bb4d11274013e7720de617f32bc9c7b",
        "turns": "2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3",
    },
}
"""SHA-256 of each part: level 2 as in version 1.0.0, level 4 as in 1.3.0, which changed its rule and its splits."""

UNUSUAL = (
    ("get_ticket", {"ticket_id": "T1"}),
    ("get_ticket", {"ticket_id": "t100"}),
    ("get_ticket", {"ticket_id": ""}),
    ("get_account", {"account_id": "A4000"}),
    ("get_contract", {"contract_id": "C99"}),
    ("get_policy", {"tier": "gold"}),
    ("get_order", {"order_id": "O1"}),
    ("search_articles", {"topic": "money"}),
)
"""Calls that no record answers."""


def sha256(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def records(desk):
    """Every response of every tool to every recorded key, and the errors for others."""
    keys = {
        name: list(json.loads((desk.folder / "fixtures" / f"{table}.json").read_text()))
        for name, table in (
            ("get_account", "accounts"),
            ("get_contract", "contracts"),
            ("get_policy", "policies"),
            ("get_order", "orders"),
            ("search_articles", "articles"),
        )
    }
    keys["get_ticket"] = [f"T{number}" for number in range(100, 1000)]
    for schema in desk.schemas():
        function = schema["function"]
        (argument,) = function["parameters"]["properties"]
        for key in keys[function["name"]]:
            yield function["name"], {argument: key}
    yield from UNUSUAL


def parts(desk):
    """What an agent meets, by part; the order of tasks, tools and keys counts."""
    splits = {split: desk.tasks(split) for split in ("train", "validation", "test")}
    transcripts = []
    for task in (task for tasks in splits.values() for task in tasks):
        desk.reset(task, 0)
        oracle, result, said = desk.oracle(task), None, []
        try:
            while True:
                call = oracle.send(result)
                answered = desk.call(call.name, call.arguments)
                said.append([call.name, dict(call.arguments), answered.text, answered.is_error])
                result = json.loads(answered.text)
        except StopIteration as end:
            said.append(end.value)
        transcripts.append([said, dict(desk.final_state())])
    desk.reset(splits["train"][0], 0)
    results = [desk.call(name, arguments) for name, arguments in records(desk)]
    everyone = [task for tasks in splits.values() for task in tasks]
    openings = [[desk.system_prompt(task), task.prompt] for task in everyone]
    return {
        "openings": openings,
        "schemas": desk.schemas(),
        "tasks": {split: [task.to_dict() for task in tasks] for split, tasks in splits.items()},
        "transcripts": transcripts,
        "results": [[result.text, result.is_error] for result in results],
        "turns": desk.max_turns,
    }


@pytest.mark.parametrize("level", sorted(GOLDEN))
def test_what_an_agent_meets_is_what_it_was(level):
    desk = SupportDesk(level=level)
    assert {name: sha256(part) for name, part in parts(desk).items()} == GOLDEN[level]
