"""The support desk: look a ticket up, follow what it points to, answer as the procedure says.

Level 2 (two dependent lookups): ticket → account; the answer's ``priority`` follows a rule the prompt states.
Level 4 (four dependent lookups): ticket → account → contract → policy, among distractor tools; the answer's
``escalate`` follows a rule that the prompt does not state and the agent must discover from its reward.

Everything is recorded data (``fixtures/``, made by ``generate.py``); nothing is random within an episode. Splits
are disjoint by ticket and by the combination of facts the answer depends on.
"""

from typing import Annotated, Any

from pydantic import Field

from practicum.environment import Call, Environment, Oracle, tool
from practicum.errors import EnvironmentFault
from practicum.scoring import score_fields
from practicum.tasks import Task

LEVELS = (2, 4)

Key = Annotated[str, Field(max_length=64)]
"""An id or a name that a table is looked up by."""

PROCEDURE = {
    2: (
        "You work on a support desk. Look up the ticket, then its account. Then answer.\n"
        "queue: the ticket's topic. region: the account's region.\n"
        "priority: urgent if severity is critical; else high if plan is gold; else normal."
    ),
    4: (
        "You work on a support desk. Look up the ticket, its account, the account's contract and the policy of the "
        "contract's tier. Then answer.\n"
        "queue: the ticket's topic. region: the account's region. hours: the policy's hours.\n"
        "escalate: yes or no; the desk learns when from experience."
    ),
}
FIELDS = {2: ("queue", "region", "priority"), 4: ("queue", "region", "hours", "escalate")}


class SupportDesk(Environment):
    """Read-only lookups over recorded tables.

    Args:
        level: 2 or 4, the number of dependent lookups.
    """

    id, version = "support-desk", "1.0.0"
    max_turns = 5

    def __init__(self, level: int = 2) -> None:
        super().__init__()
        if level not in LEVELS:
            raise EnvironmentFault(
                f"support_desk has no level {level!r}",
                allowed=" or ".join(map(str, LEVELS)),
                fix="set environment_args",
            )
        self.level = level
        self.max_turns = {2: 5, 4: 8}[level]

    def settings(self) -> dict[str, Any]:
        """The level."""
        return {"level": self.level}

    @tool
    def get_ticket(self, ticket_id: Key) -> dict[str, Any]:
        """a ticket's account, topic, severity"""
        return self.fixture("tickets")[ticket_id]

    @tool
    def get_account(self, account_id: Key) -> dict[str, Any]:
        """an account's region, plan or contract"""
        account = self.fixture("accounts")[account_id]
        kept = ("region", "plan") if self.level == 2 else ("region", "contract")
        return {name: account[name] for name in kept}

    @tool
    def get_contract(self, contract_id: Key) -> dict[str, Any]:
        """a contract's tier and term"""
        return self.fixture("contracts")[contract_id]

    @tool
    def get_policy(self, tier: Key) -> dict[str, Any]:
        """a tier's response hours and cover"""
        return self.fixture("policies")[tier]

    @tool
    def get_order(self, order_id: Key) -> dict[str, Any]:
        """an order's status"""
        return self.fixture("orders")[order_id]

    @tool
    def search_articles(self, topic: Key) -> dict[str, Any]:
        """help articles on a topic"""
        return self.fixture("articles")[topic]

    def schemas(self) -> list[dict[str, Any]]:
        """The level's tools."""
        offered = {2: ("get_ticket", "get_account", "search_articles")}.get(self.level, tuple(self._tools))
        return [self._tools[name].schema for name in offered]

    def system_prompt(self, task: Task) -> str:
        """The desk's procedure and the form of the answer."""
        del task
        fields = ",".join(f'"{name}":…' for name in FIELDS[self.level])
        return f"{PROCEDURE[self.level]}\nAnswer only with <final_output>{{{fields}}}</final_output>"

    def tasks(self, split: str) -> list[Task]:
        """Tasks of ``train`` (540), ``validation`` (120) or ``test`` (240)."""
        names = [name for name, where in self.fixture("splits")[str(self.level)].items() if where == split]
        if not names:
            raise EnvironmentFault(f"support_desk has no split {split!r}", allowed="train, validation, test")
        return [Task(f"{split}-{name}", f"Handle ticket {name}.", self._answer(name)) for name in names]

    def oracle(self, task: Task) -> Oracle:
        """Looks up what the procedure asks for and answers from what the tools said."""
        ticket = yield Call("get_ticket", {"ticket_id": task.prompt.removeprefix("Handle ticket ").rstrip(".")})
        account = yield Call("get_account", {"account_id": ticket["account"]})
        facts = {**ticket, **account}
        if self.level == 4:
            contract = yield Call("get_contract", {"contract_id": account["contract"]})
            policy = yield Call("get_policy", {"tier": contract["tier"]})
            facts |= {**contract, **policy}
        return final_output(verdict(facts, self.level))

    def _answer(self, ticket_id: Key) -> dict[str, Any]:
        ticket = self.fixture("tickets")[ticket_id]
        account = self.fixture("accounts")[ticket["account"]]
        contract = self.fixture("contracts")[account["contract"]]
        return verdict({**ticket, **account, **contract, **self.fixture("policies")[contract["tier"]]}, self.level)


def verdict(facts: dict[str, Any], level: int) -> dict[str, Any]:
    """The right answer to a ticket, from the facts the lookups give."""
    answer = {"queue": facts["topic"], "region": facts["region"]}
    if level == 2:
        high = facts["plan"] == "gold"
        answer["priority"] = "urgent" if facts["severity"] == "critical" else "high" if high else "normal"
        return answer
    # The rule to discover: short cover for what hurts now, or an old contract in trouble.
    pressing = facts["severity"] == "critical" and facts["hours"] > 4
    expiring = facts["term"] == "monthly" and facts["severity"] != "minor"
    return answer | {"hours": facts["hours"], "escalate": "yes" if pressing or expiring else "no"}


def final_output(answer: dict[str, Any]) -> str:
    """The answer as the procedure wants it written."""
    body = ",".join(
        f'"{key}":{value if isinstance(value, int) else f"{chr(34)}{value}{chr(34)}"}' for key, value in answer.items()
    )
    return f"<final_output>{{{body}}}</final_output>"


score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)
