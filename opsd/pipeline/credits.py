"""Credits for runs that ended with their node: drafted with the runs attached, posted by a person.

Invariant: a run is drafted once, for exactly what it was charged inside its award's life, and never where
a person has credited it already; what somebody decided is left alone, whatever its record says later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from opsd.core.agreements import Policy
from opsd.core.amounts import exact_text, unit_hours
from opsd.core.consortium import Consortium
from opsd.core.credits import Charge, Mark, evidence, marks, version
from opsd.core.drafts import DECLINED, WAITING, Content, Draft
from opsd.core.errors import Refused
from opsd.core.journal import CREDIT, Entry
from opsd.core.rules import params_of
from opsd.pipeline.balance import Label, Ledger, micro
from opsd.pipeline.seconds import collect_runs
from opsd.store import drafts, node_failures, parties
from opsd.store.engine import Connection, Store
from opsd.store.node_failures import Found

DAEMON = "opsd"  # who withdraws a draft that nothing speaks for any more


class Result(NamedTuple):
    """How many drafts were made, renewed and withdrawn, and how many wait."""

    made: int
    renewed: int
    withdrawn: int
    waiting: int


def run(store: Store, now: int) -> Result:
    """Draft credits for new failures, and renew drafts whose runs changed; the same again changes nothing."""
    with store.read() as connection:
        due = _due(connection, now)
    if due.idle:
        return Result(0, 0, 0, due.waiting)
    with store.write() as connection:  # and look again: what is decided meanwhile stays so
        due = _due(connection, now)
        for draft in due.new:
            drafts.keep(connection, draft)
        for number, draft in due.changed.items():
            drafts.renew(connection, number, draft)
        for number in due.gone:
            why = "nothing is charged for its run any more"
            drafts.decide(connection, number, state=DECLINED, by=DAEMON, at=now, reason=why)
    return Result(len(due.new), len(due.changed), len(due.gone), due.waiting + len(due.new) - len(due.gone))


class _Due(NamedTuple):
    """What is to be done; drafts by their numbers."""

    new: list[Draft]
    changed: dict[int, Draft]
    gone: list[int]
    waiting: int  # before that

    @property
    def idle(self) -> bool:
        return not (self.new or self.changed or self.gone)


def _due(connection: Connection, now: int) -> _Due:
    held = parties.load(connection)
    kept = drafts.every(connection)
    known = {_today(draft.mark, held): draft for draft in kept if draft.mark is not None}
    taken = {mark for mark, _ in credited(kept, parties.journal(connection), held)}
    found = {draft.mark or "": draft for draft in _wanted(connection, held, now)}
    wanted = {mark: draft for mark, draft in found.items() if mark in known or mark not in taken}
    return _Due(
        [draft for mark, draft in wanted.items() if mark not in known],
        {
            known[mark].id: draft
            for mark, draft in wanted.items() if mark in known and _differs(known[mark], draft)
        },
        [draft.id for mark, draft in known.items() if draft.state == WAITING and mark not in wanted],
        sum(draft.state == WAITING for draft in kept),
    )  # fmt: skip


def _today(mark: str, held: Consortium) -> str:
    """A run's mark under the name that its cluster has now."""
    cluster, slash, rest = mark.partition("/")
    now = next((one.id for one in held.clusters.values() if cluster in one.former_names), cluster)
    return f"{now}{slash}{rest}"


def _differs(old: Draft, new: Draft) -> bool:
    """Whether a draft must be renewed; what was posted or declined never is."""
    return old.state == WAITING and _told(old) != _told(new)


def _told(draft: Draft) -> list[tuple[str, int, str]]:
    return [(entry.award, entry.amount, entry.evidence) for entry in draft.content.entries]


def _wanted(connection: Connection, held: Consortium, now: int) -> list[Draft]:
    """The drafts that there should be for the runs as they are stored now."""
    asking = [
        award for award in held.awards.values() if any(map(_drafts, held.policy_versions(award.policy)))
    ]
    if not asking:
        return []
    ledger = Ledger(connection, held, now)
    found = []
    for failure in node_failures.failed(connection, min(award.start for award in asking)):
        charges = charged(ledger, failure, _drafts) if failure.held.finish <= now else []
        if charges:
            found.append(_draft(failure, charges, now))
    return found


def _drafts(policy: Policy) -> bool:
    return params_of(policy.params).draft_credits


def _draft(failure: Found, charges: Sequence[Charge], now: int) -> Draft:
    mark = failure.run.mark
    reason = f"node failure ended {mark.text}"
    entries = tuple(
        Entry(
            failure.run.end, now, CREDIT, charge.award, charge.unit, charge.amount, reason, DAEMON,
            evidence=evidence([(failure.run, charge)]),
        )
        for charge in charges
    )  # fmt: skip
    return Draft(now, CREDIT, Content(entries), mark=mark.text)


def charged(ledger: Ledger, found: Found, counts: Callable[[Policy], bool]) -> list[Charge]:
    """What a run was charged to each award, by the policy versions that count."""
    how = (ledger.connection, ledger.plan, ledger.labeller, ledger.names.counts)
    seconds: dict[str, int] = defaultdict(int)
    amounts: dict[str, Fraction] = defaultdict(Fraction)
    versions: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for cell, (_, ran, suspended) in collect_runs(*how, [found.held]).items():
        label = Label(*cell.labels) if cell.labels else None
        policy = None if label is None or label.outside else ledger.policy(label)
        if label is None or policy is None or not counts(policy):
            continue
        seconds[label.award] += ran + suspended
        amounts[label.award] += ledger.charge(label, cell.shape, ran, suspended)
        versions[label.award].add((policy.valid_from, policy.id))
    awards = ledger.consortium.awards
    return [
        Charge(
            name, awards[name].unit, seconds[name], micro(amounts[name]),
            tuple(version(policy, since) for since, policy in sorted(versions[name])),
        )
        for name in sorted(amounts) if micro(amounts[name])
    ]  # fmt: skip


def credited(
    kept: Iterable[Draft], posted: Iterable[Entry], held: Consortium
) -> Mapping[tuple[str, str], str]:
    """Runs that are credited to an award, and where: by entries that were posted, and by drafts that wait."""
    credits_posted = [(f"entry {entry.id}", entry) for entry in posted if entry.kind == CREDIT]
    waiting = [
        (f"draft {draft.id}", entry)
        for draft in kept if draft.state == WAITING for entry in draft.content.entries
    ]  # fmt: skip
    return {
        (_today(mark, held), entry.award): where
        for where, entry in (*credits_posted, *waiting)
        for mark in marks(entry.evidence)
    }


def resting_on(connection: Connection, award: str, runs: Sequence[Mark], amount: int, now: int) -> str:
    """What a credit that a person writes rests on.

    Raises:
        Refused: a run is not stored, was not charged to the award or is credited already; or together
            they were charged less.
    """
    consortium = parties.load(connection)
    taken = credited(drafts.every(connection), parties.journal(connection), consortium)
    ledger = Ledger(connection, consortium, now)
    held = []
    for mark in dict.fromkeys(runs):
        found = node_failures.named(connection, mark)
        if found is None:
            raise Refused(
                f"run {mark.text}: no ended run is stored under that key; opsd explain run {mark.job}"
            )
        if (mark.text, award) in taken:
            raise Refused(f"run {mark.text} is credited already, by {taken[mark.text, award]}")
        own = [charge for charge in charged(ledger, found, lambda _: True) if charge.award == award]
        if not own:
            raise Refused(f"run {mark.text} was not charged to award {award!r} inside its life")
        held.append((found.run, own[0]))
    whole = sum(charge.amount for _, charge in held)
    if amount > whole:
        said = exact_text(unit_hours(whole))
        raise Refused(f"these runs were charged {said} together; credit no more than that, or name more")
    return evidence(held)
