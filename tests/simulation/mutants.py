"""Known damage to the protocol, put in place in memory: each must be noticed by a rule within some seeds.

A mutant replaces one piece of text of a script or of an engine module; when the text is not there any more the mutant
is out of date, and that is an error, not a pass. ``python -m tests.simulation.mutants`` tries all of them.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from orchestrator.engine import decider as decider_module
from orchestrator.engine.decider import Decider
from orchestrator.store.scripts import Script, library, parse

SEEDS_MAX = 150


class Damage(NamedTuple):
    """Which text of which script, of what several include, or of the decider's module, is replaced by what."""

    says: str
    lua: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType({})
    python: tuple[tuple[str, str], ...] = ()
    includes: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType({})

    def scripts(self) -> dict[str, Script]:
        """The script library with the damage in it. Raises ``LookupError`` when a text is not there exactly once."""
        scripts = dict(library(declared_clock=True))
        folder = files("orchestrator.store") / "lua"
        texts = {name: (folder / f"{name}.lua").read_text("utf-8") for name in scripts}
        for name, changes in self.lua.items():
            texts[name] = _replaced(f"{name}.lua", texts[name], changes)
            scripts[name] = parse(name, texts[name], declared_clock=True)
        for include, changes in self.includes.items():
            line = f"--@include {include}\n"
            part = _replaced(include, (folder / "include" / f"{include}.lua.part").read_text("utf-8"), changes)
            for name in (name for name, text in texts.items() if line in text):
                scripts[name] = parse(name, texts[name].replace(line, part), declared_clock=True)
        return scripts

    def decider(self) -> type[Decider]:
        """The decider with the damage in it. Raises ``LookupError`` when a text is not there exactly once."""
        if not self.python:
            return Decider
        source = _replaced("decider.py", inspect.getsource(decider_module), self.python)
        module = ModuleType("damaged_decider")
        exec(compile(source, "damaged_decider", "exec"), module.__dict__)
        kind: type[Decider] = module.Decider
        return kind


def _replaced(name: str, text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        if text.count(old) != 1:
            raise LookupError(f"{name} has {text.count(old)} places like {old!r}: the mutant is out of date")
        text = text.replace(old, new)
    return text


MUTANTS: dict[str, Damage] = {
    "gate-off-by-one": Damage(
        "a gate hands on one place too many",
        lua={
            "gate": (("while limit > redis.call('ZCARD', inside) do", "while limit >= redis.call('ZCARD', inside) do"),)
        },
    ),
    "gate-forgets-whom-it-let-in": Damage(
        "a gate believes that whoever it let in has heard of it",
        lua={"gate": (("  redis.call('SADD', new, other)\nend", "end"),)},
    ),
    "no-accept-fence": Damage(
        "accept takes the word of anybody, whoever holds the task now",
        {"accept": (("delivery ~= -1 and (delivery ~= d.delivery or claimant ~= d.claimant)", "false"),)},
    ),
    "no-accept-dedupe": Damage(
        "accept takes a second final word", {"accept": (("elseif d.state == 'A' then", "elseif false then"),)}
    ),
    "pop-without-lease": Damage(
        "claim hands tasks out and keeps no lease", {"claim": (("redis.call('ZADD', lea, unpack(holders))", ""),)}
    ),
    "handed-over-past-limits": Damage(
        "enqueue hands tasks to waiting claimants although the queue has limits",
        {"enqueue": (("local is_open = limits[1] == '0' and limits[2] == '0' and", "local is_open ="),)},
    ),
    "lapsed-handover-taken": Damage(
        "claim takes a hand-over for its own whoever has got the task since",
        {"claim": (("if current == delivery and ends and tonumber(ends) > now then", "if current then"),)},
    ),
    "lent-without-slot": Damage(
        "lend lets go of the slot of a task that is with its worker",
        {"lend": (("redis.call('SADD', hld, unpack(held))", ""),)},
    ),
    "stale-loan-taken": Damage(
        "lend changes a task whoever has got it since",
        {"lend": (("if delivery == ARGV[at + 2] and (", "if delivery and ("),)},
    ),
    "hint-too-far": Damage(
        "claim lets a claimant that missed its wake-up sleep for twenty seconds",
        {"claim": (("local hint = 2000", "local hint = 20000"),)},
    ),
    "claim-leaves-one": Damage(
        "claim leaves a ready task behind although there is room for it",
        {
            "claim": (
                (
                    "local want = math.min(count - #taken, ready)",
                    "local want = math.min(count - #taken, math.max(1, ready - 1))",
                ),
            )
        },
    ),
    "expired-lease-dropped": Damage(
        "claim forgets tasks whose lease has ended instead of offering them again",
        {"claim": (("if records[i] then arrive(silent[i], records[i], true) end", ""),)},
    ),
    "event-deleted-before-commit": Damage(
        "the decider deletes events when it reads them",
        {
            "commit": (
                ("if verdict == 'OK' and #call('XRANGE', ev, ARGV[i], ARGV[i]) == 0", "if false"),
                ("and call('XDEL', ev, ARGV[at + 3]) == 0 then", "and false then"),
            )
        },
        (
            (
                "        if len(entries) < len(new):\n",
                "        if entries:\n"
                "            yield forget_wakes(keys, number, [entry.id for entry in entries])\n"
                "        if len(entries) < len(new):\n",
            ),
        ),
    ),
    "no-outbox-write": Damage(
        "the commit keeps hand-offs in the decider's memory only",
        {"commit": (("outbox = call('XADD', ob, '*', 'b', ARGV[first])", "outbox = '1-1'"),)},
    ),
    "outbox-deleted-before-delivery": Damage(
        "the decider counts hand-offs as delivered before it delivers them",
        python=(
            (
                "        arrived = yield from self.relay.deliver(letters, self.definitions.limits)\n",
                "        for each in letters:\n"
                "            yield Command(('XDEL', self.store.keys.outbox(each.partition), each.outbox_id))\n"
                "        arrived = yield from self.relay.deliver(letters, self.definitions.limits)\n",
            ),
        ),
    ),
    "limit-off-by-one": Damage(
        "claim grants one more than the concurrency limit",
        {"claim": (("math.max(0, conc - leases - held) or want", "math.max(0, conc + 1 - leases - held) or want"),)},
    ),
    "owners-do-not-take-turns": Damage(
        "tasks of all owners line up by their time",
        includes={
            "keys": (("if not entry or entry.owner == '' then return by_time end", "if true then return by_time end"),)
        },
    ),
    "key-limit-off-by-one": Damage(
        "a key is let have one task more than its limit",
        includes={
            "keys": (
                ("has_slot or use.out + use.ready < key_conc)", "has_slot or use.out + use.ready <= key_conc)"),
                ("has_slot or use.out < key_conc)", "has_slot or use.out <= key_conc)"),
            )
        },
    ),
    "key-tokens-return-at-once": Damage(
        "a spent token of a key is back with the next claim",
        includes={"keys": (("'-inf', string.format('%d', now - key_away)", "'-inf', '+inf'"),)},
    ),
    "kept-back-for-ever": Damage(
        "a key that has room again lets nobody in who was kept back",
        includes={"keys": (("while use.kept > 0 and total < 250 do", "while false do"),)},
    ),
    "rate-tokens-return-early": Damage(
        "claim takes a spent token back before its window is over",
        {"claim": (("open = at + away > now", "open = at + away / 2 > now"),)},
    ),
    "no-version-check": Damage(
        "the commit does not compare versions",
        {"commit": (("(known[1] or '') ~= ARGV[at + 1] or (trim", "(trim"),)},
    ),
    "stale-epoch-accepted": Damage(
        "the commit of a former owner is not fenced off",
        {"commit": (("if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return {'FENCED'} end", ""),)},
    ),
    "release-without-offer": Damage(
        "settle forgets a task although it was offered anew meanwhile",
        {"settle": (("local anew = kind == 'done' and offer ~= ARGV[at + 3]", "local anew = false"),)},
    ),
    "started-twice": Damage(
        "start_task lets an older delivery begin", {"start_task": (("delivery < d.delivery or (", "(false and "),)}
    ),
    "accepted-task-started": Damage(
        "start_task hands out a task whose outcome is in the inbox already",
        {"start_task": (("elseif not d or d.state == 'A' or d.state == 'W' then", "elseif not d then"),)},
    ),
    "epoch-not-raised": Damage(
        "a new owner gets the epoch of the old one",
        {
            "acquire": (
                ("'e', string.format('%d', epoch + 1)", "'e', string.format('%d', epoch)"),
                ("return {'OK', epoch + 1, tonumber(crashes)}", "return {'OK', epoch, tonumber(crashes)}"),
            )
        },
    ),
    "timers-fire-early": Damage(
        "due timers are looked for and fired half a second ahead",
        {
            "due_timers": (("KEYS[1], '-inf', now, 'WITHSCORES'", "KEYS[1], '-inf', now + 500, 'WITHSCORES'"),),
            "fire_timers": (("and score <= now and", "and"),),
        },
    ),
    "unparked-behind-younger": Damage(
        "unpark puts parked events behind younger ones that came in since",
        {"unpark": (("if fields[3] == 'w' and fields[4] == wid then", "if false then"),)},
    ),
    "child-not-told": Damage(
        "a child that its parent calls off never hears of it",
        python=(
            (
                "        arrived = yield from self.relay.deliver(letters, self.definitions.limits)\n",
                "        for each in letters:\n"
                "            each.handoffs[:] = [one for one in each.handoffs if type(one).__name__ != 'CancelChild']\n"
                "        arrived = yield from self.relay.deliver(letters, self.definitions.limits)\n",
            ),
        ),
    ),
    "key-not-claimed": Damage(
        "start lets a second execution begin under the same idempotency key",
        {"start": (("if field ~= '' then call('HSET', idem, field, wid) end", ""),)},
    ),
    "delivery-not-kept": Damage(
        "a delivery at a webhook is acknowledged and not kept",
        {"publish_event": (("redis.call('XADD', q, '*', 'm', ARGV[1], 'b', ARGV[2])", "'0-1'"),)},
    ),
    "delivery-found-anew": Damage(
        "who repeats a delivery looks anew for tasks that await it, and finds those of the next round",
        {"begin_event_execution": (("if stored then return {'OLD', stored} end", ""),)},
    ),
    "first-shape-only": Damage(
        "an event is only compared with the first of the different things that tasks await",
        {"webhook_shapes": (("for _ = 1, tonumber(ARGV[1]) do", "for _ = 1, 1 do"),)},
    ),
    "removed-still-awaits": Damage(
        "what is removed while it awaits an event stays in the index",
        {"remove": (("for i = last_timer + 1, #ARGV do redis.call('ZREM', KEYS[#KEYS], ARGV[i]) end", ""),)},
    ),
    "outcome-overwritten": Damage(
        "a time-out is committed although the outcome was accepted meanwhile",
        {"commit": (("if entry and string.sub(entry, 1, 1) == 'A' then verdict = 'CONFLICT' end", ""),)},
    ),
}


def main() -> int:
    """Try every mutant; 1 when one of them survives."""
    runs = importlib.import_module("tests.simulation.runs")
    survivors = []
    # What a broken world still logs while it is cleared away belongs to no seed.
    logging.getLogger("orchestrator").addHandler(logging.NullHandler())
    with runs.Server() as server:
        for name, damage in MUTANTS.items():
            found = None
            for seed in range(SEEDS_MAX):
                found = runs.run_seed(server, seed, mutant=name)
                if found is not None:
                    rule = found.split(": ", 2)[1]
                    print(f"{name:32} caught by {rule:4} after {seed + 1:3} seeds ({damage.says})")
                    break
            if found is None:
                survivors.append(name)
                print(f"{name:32} SURVIVED {SEEDS_MAX} seeds ({damage.says})")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
