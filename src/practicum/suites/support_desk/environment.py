"""The support desk: look a ticket up, follow what it points to, answer as the procedure says.

A level is the number of dependent lookups: ticket → account → contract → policy → roster → engineer. The answer
follows a rule that the procedure states (``fixtures/sop.txt``), but at level 4: there the agent must discover it
from its reward, and with ``demonstrators: staff`` three in eight of the answers it is shown are wrong. Distractors are
tools that no ticket needs; traps are records that have moved and still stand where they were, notes that ask for
another answer, and customers who claim what the records deny.

Everything is recorded data (``fixtures/``, made by ``generate.py``), found by the canonical form of a call's
arguments; nothing is random within an episode. Splits are disjoint by ticket and by the combination of facts the
answer depends on.
"""

import difflib
import functools
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

from pydantic import Field

from practicum.environment import Call, Environment, Fixture, Oracle, ToolError, ToolSpec, tool
from practicum.errors import EnvironmentFault
from practicum.scoring import score_fields, weighted
from practicum.suites.support_desk.procedure import LEVELS, final_output, key, known, prompt, verdict
from practicum.tasks import Task

Key = Annotated[str, Field(max_length=64)]
"""An id or a name that a table is looked up by."""
Hours = Annotated[int, Field(ge=1, le=168)]

DISTRACTORS = ("search_articles", "get_order", "get_incidents", "get_invoice")
"""Tools that no ticket needs, in the order in which they are added."""
MOVES = ("tickets", "accounts", "contracts")
"""Tables whose records may have moved."""


class SupportDesk(Environment):
    """Read-only lookups over recorded tables.

    Args:
        level: 1 to 6, the number of dependent lookups.
        distractors: 0 to 4 tools that no ticket needs; None for the level's own number, 1 or 2.
        traps: Whether records move, notes interfere and customers claim what is not so.
        demonstrators: Who shows a foothold how it is done: ``oracle``, who knows every rule; ``staff``, who know what
            the procedure states, and guess every other time where it leaves a rule out; or ``trainees``, who look up
            and fill in all that is asked for, and guess the verdict of every other ticket.
    """

    id, version = "support-desk", "1.4.0"
    max_turns = 5

    def __init__(
        self, level: int = 2, distractors: int | None = None, traps: bool = False, demonstrators: str = "oracle"
    ) -> None:
        super().__init__()
        _refuse_unless("level", level, list(LEVELS))
        count = LEVELS[level].distractors if distractors is None else distractors
        _refuse_unless("distractors", count, range(len(DISTRACTORS) + 1))
        _refuse_unless("traps", traps, (False, True))
        _refuse_unless("demonstrators", demonstrators, ("oracle", "staff", "trainees"))
        self.level, self.distractors, self.traps, self.demonstrators = level, count, traps, demonstrators
        self._rules = LEVELS[level]
        self.max_turns = self._rules.turns + (len(MOVES) if traps else 0)
        offered = {*self._rules.lookups, *DISTRACTORS[:count]}
        self._offered = {name: spec for name, spec in self._tools.items() if name in offered}

    def settings(self) -> dict[str, Any]:
        """The difficulty."""
        return {
            "level": self.level,
            "distractors": self.distractors,
            "traps": self.traps,
            "demonstrators": self.demonstrators,
        }

    def tool_specs(self) -> dict[str, ToolSpec]:
        """The level's lookups and the distractors."""
        return self._offered

    @tool
    def get_ticket(self, ticket_id: Key) -> dict[str, Any]:
        """a ticket's account, topic, severity"""
        return _shown(self._recorded("tickets", ticket_id=ticket_id), self._rules.ticket)

    @tool
    def get_account(self, account_id: Key) -> dict[str, Any]:
        """an account's region, plan or contract"""
        return _shown(self._recorded("accounts", account_id=account_id), self._rules.account)

    @tool
    def get_contract(self, contract_id: Key) -> dict[str, Any]:
        """a contract's tier and term"""
        return self._recorded("contracts", contract_id=contract_id)

    @tool
    def get_policy(self, tier: Key) -> dict[str, Any]:
        """a tier's response hours and cover"""
        return self._recorded("policies", tier=tier)

    @tool
    def get_roster(self, region: Key, hours: Hours) -> dict[str, Any]:
        """who leads a region's tickets of some hours, and the deputy"""
        return self._recorded("rosters", region=region, hours=hours)

    @tool
    def get_engineer(self, name: Key) -> dict[str, Any]:
        """an engineer's state: free or away"""
        return self._recorded("engineers", name=name)

    @tool
    def get_order(self, order_id: Key) -> dict[str, Any]:
        """an order's status"""
        return self._recorded("orders", order_id=order_id)

    @tool
    def search_articles(self, topic: Key) -> dict[str, Any]:
        """help articles on a topic"""
        return self._recorded("articles", topic=topic)

    @tool
    def get_incidents(self, topic: Key) -> dict[str, Any]:
        """open incidents on a topic"""
        return self._recorded("incidents", topic=topic)

    @tool
    def get_invoice(self, account_id: Key) -> dict[str, Any]:
        """what an account owes"""
        return self._recorded("invoices", account_id=account_id)

    def system_prompt(self, task: Task) -> str:
        """The desk's procedure and the form of the answer."""
        del task
        return prompt(self.folder / "fixtures" / "sop.txt", self.level, self.traps)

    def tasks(self, split: str) -> list[Task]:
        """Tasks of ``train`` (540), ``validation`` (120) or ``test`` (240)."""
        names = self.fixture("splits")[str(self.level)].get(split, "").split()
        if not names:
            raise EnvironmentFault(f"support_desk has no split {split!r}", allowed="train, validation, test")
        return [Task(f"{split}-{name}", self._prompt(name), self._answer(name)) for name in names]

    def oracle(self, task: Task) -> Oracle:
        """Looks up what the procedure asks for and answers from what the tools said."""
        facts = yield from self._facts(task)
        return final_output(verdict(facts, self.level))

    def demonstration(self, task: Task) -> Oracle:
        """As the oracle, or with a guess at the last field every other time, drawn by the ticket."""
        facts = yield from self._facts(task)
        answer, guesses = verdict(facts, self.level), self._guesses()
        if guesses:
            draw = crc32(facts["ticket"].encode()) % (2 * len(guesses))
            if draw < len(guesses):
                answer[self._rules.fields[-1]] = guesses[draw]
        return final_output(answer)

    def _guesses(self) -> Sequence[str]:
        """What a demonstrator chooses from without knowing better; empty for one who always knows."""
        if self.demonstrators == "trainees":
            return sorted({self._answer(ticket)[self._rules.fields[-1]] for ticket in self.fixture("tickets")})
        return self._rules.unstated if self.demonstrators == "staff" else ()

    def _facts(self, task: Task) -> Generator[Call, Any, dict[str, Any]]:
        ticket_id = task.prompt.removeprefix("Handle ticket ").partition(".")[0]
        facts: dict[str, Any] = {"ticket": ticket_id}
        for name in self._rules.lookups:
            arguments = {argument: facts[fact] for argument, fact in ARGUMENTS[name].items()}
            record = yield Call(name, arguments)
            while "moved_to" in record:
                record = yield Call(name, dict.fromkeys(arguments, record["moved_to"]))
            facts |= record
        return facts

    def _prompt(self, ticket_id: str) -> str:
        claim = self.fixture("traps")["claims"].get(ticket_id) if self.traps else None
        return f"Handle ticket {ticket_id}." + (f" {claim}" if claim else "")

    def _answer(self, ticket_id: str) -> dict[str, Any]:
        # From the tables as they are without traps, which must not change what is right.
        return verdict(known(self.fixture, ticket_id), self.level)

    def _recorded(self, table: str, **arguments: Any) -> dict[str, Any]:
        where = self.folder, table, self.traps and table in MOVES
        rows, wanted = _rows(*where), key(**arguments)
        if wanted not in rows:
            raise ToolError(_missing(*where, wanted))
        record: dict[str, Any] = rows[wanted]
        return record


ARGUMENTS = {
    "get_ticket": {"ticket_id": "ticket"},
    "get_account": {"account_id": "account"},
    "get_contract": {"contract_id": "contract"},
    "get_policy": {"tier": "tier"},
    "get_roster": {"region": "region", "hours": "hours"},
    "get_engineer": {"name": "lead"},
}
"""Which fact each argument of a lookup is."""


def _shown(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: record[name] for name in (*names, "note", "moved_to") if name in record}


@functools.lru_cache(maxsize=1024)
def _missing(folder: Path, table: str, moved: bool, wanted: str) -> str:
    """The error for a call that was not recorded."""
    # Published results of level 2 rest on which record this names, so it does not follow the core's choice.
    near = difflib.get_close_matches(wanted, _rows(folder, table, moved), n=1, cutoff=0.0)
    return f"no record {wanted!r} in {table}; nearest recorded: {near[0]}"


@functools.cache
def _rows(folder: Path, table: str, moved: bool) -> Fixture:
    """A table. ``moved``: as it stands with traps: what moved is under its new id, something else under the old."""
    fixture = Fixture.load(folder / "fixtures" / f"{table}.json")
    if not moved:
        return fixture
    rows = dict(fixture)
    for old, change in Fixture.load(folder / "fixtures" / "traps.json")[table].items():
        if "moved_to" in change:
            rows[change["moved_to"]] = rows[old]
        rows[old] = {**rows[old], **change}
    return Fixture(table, rows)


def _refuse_unless(name: str, value: object, allowed: Sequence[object]) -> None:
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise EnvironmentFault(
            f"support_desk has no {name} {value!r}", allowed=", ".join(map(str, allowed)), fix="set environment_args"
        )


score = score_fields(tag="final_output", exact=True)
reward = weighted(success=(0.9, score), fields=(0.1, score_fields(tag="final_output", partial=True)))
"""Nearly all for success: what a well-formed answer with a wrong verdict is paid, a policy settles on, for it is
paid so on every ticket. The rest tells a rollout that came near from one that did not, where none succeeds."""
