"""The rules of messages: each that was accepted is given to exactly one task or is still there. Read in a world at rest."""

from __future__ import annotations

from typing import Any

from orchestrator.codec import unpack
from tests.simulation.history_rules import STATUS, TYPE
from tests.simulation.ledger import Ledger, Run, Violation
from tests.simulation.mailbox import NAME, PULL, message_id

OUTPUT, MESSAGE_ID = 12, 1  # positions in a Result and in a Message record


class MailboxRules:
    """Judges what became of messages, in a world at rest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def at_rest(self) -> None:
        """Each message that was accepted was given to one task or is still there, and none twice."""
        for run in self._ledger.runs.values():
            if run.name == NAME and not run.is_removed:
                self._judge(run)

    def _judge(self, run: Run) -> None:
        accepted = set()
        for request_id, answer in self._ledger.answers.items():
            if request_id.startswith(message_id(run.workflow_id, "")) and unpack(answer).get("ok"):
                accepted.add(request_id)
        given = [one["id"] for record in _pulls(run) for one in record[OUTPUT].get("messages", ())]
        kept = [record[MESSAGE_ID] for name, record in run.records.items() if name[0] == "M"]
        found = [*given, *kept]
        if len(found) != len(set(found)):
            raise Violation(f"S4: messages of {run.workflow_id} were given {given} and kept {kept}: one of them twice")
        if not accepted <= set(found):
            raise Violation(f"S1: messages {accepted - set(found)} of {run.workflow_id} were accepted and are gone")


def _pulls(run: Run) -> list[list[Any]]:
    """The results of the tasks that have taken messages."""
    return [
        run.records[f"R{name[1:]}"]
        for name, record in run.records.items()
        if name[0] == "S" and record[TYPE] == PULL and run.records[f"R{name[1:]}"][STATUS] == "COMPLETED"
    ]
