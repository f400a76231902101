"""Whether what was closed is still what was closed: every digest made again, every file written again.

Invariant: nothing that is stored is trusted; each difference is named. A program other than the one that
froze an edition cannot write its files again, and says so instead of judging.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opsd.core import canonical, corrections, dossier, journal
from opsd.core.corrections import RunUse
from opsd.core.dossier import Dossier, Key
from opsd.core.errors import BadText, OpsdError, WrongUsage
from opsd.core.names import nearest
from opsd.pipeline import journal as chain
from opsd.pipeline.close import Render
from opsd.pipeline.editions import FIRST
from opsd.store import editions, parties
from opsd.store.editions import Edition, Kept
from opsd.store.engine import Connection

Progress = Callable[[str, int, int], None]  # what is looked at, how many are done, of how many


class Means(NamedTuple):
    """What only an entry point knows."""

    render: Render
    program: str  # digest of the program


@dataclass(slots=True)
class Verified:
    """What was looked at, and everything that is wrong with it."""

    entries: int = 0
    head: str = ""
    editions: int = 0
    records: int = 0
    runs: int = 0
    files: int = 0
    written_again: int = 0  # of the files
    other_program: tuple[str, ...] = ()  # editions whose files another program wrote
    faults: list[str] = field(default_factory=list)


def run(
    connection: Connection,
    period: str | None,
    means: Means,
    progress: Progress = lambda *_: None,
) -> Verified:
    """Verify the journal and the editions of one month, or all.

    Raises:
        WrongUsage: there is no edition of that month.
    """
    every = editions.every(connection)
    known = sorted({edition.period for edition in every})
    if period is not None and period not in known:
        there = f"closed are {' '.join(known)}" if known else "no month is closed"
        raise WrongUsage(f"{period!r} is not closed" + nearest(period, known, there))
    walked = chain.verify(connection)
    found = Verified(walked.entries, walked.head)
    found.faults += [f"journal: {fault}" for fault in walked.faults]
    entries = _documents(connection)
    wanted = [edition for edition in every if period in (None, edition.period)]
    for place, edition in enumerate(wanted):
        progress(edition.name, place, len(wanted))
        _Check(connection, edition, entries, found, means).run()
    if period is None:
        found.faults += _lost(every, entries)
    progress("", len(wanted), len(wanted))
    return found


Rows = Mapping[int, Mapping[str, Any]]


def _documents(connection: Connection) -> Rows:
    """The journal's entries about editions, as they are stored."""
    rows = parties.journal_rows(connection)
    return {row["id"]: row for row in rows if row["kind"] in journal.DOCUMENTS}


def _lost(every: Sequence[Edition], entries: Rows) -> Iterator[str]:
    vouched = {edition.journal_id for edition in every}
    for number, entry in sorted(entries.items()):
        if entry["kind"] == journal.CLOSE and number not in vouched:
            yield f"edition {entry['subject']}: missing: journal entry {number} vouches for it"


class _Check:
    """One edition."""

    def __init__(
        self,
        connection: Connection,
        edition: Edition,
        entries: Rows,
        found: Verified,
        means: Means,
    ) -> None:
        self.connection, self.edition, self.entries = connection, edition, entries
        self.found, self.means = found, means
        self.faults: list[str] = []

    def run(self) -> None:
        """Everything about it."""
        records = list(editions.kept_records(self.connection, self.edition))
        runs = list(editions.kept_runs(self.connection, self.edition))
        files = list(editions.kept_files(self.connection, self.edition))
        self.found.editions += 1
        self.found.records += len(records)
        self.found.files += len(files)
        self._records(records)
        texts = self._runs(runs)
        made = self._dossier(records)
        self._files(files, made)
        self._whole(records, texts, files)
        if made is not None:
            self._row(made)
            self._corrections(made)
            self._sum(made, texts.get(self.edition.period))
        self.found.faults += [f"edition {self.edition.name}: {fault}" for fault in self.faults]

    # -- its parts ---------------------------------------------------------------------------------------

    def _records(self, records: Sequence[Kept]) -> None:
        places = [record.number for record in records]
        for number in sorted(set(range(1, self.edition.records + 1)).symmetric_difference(places)):
            self.faults.append(f"record {number}: {'too much' if number in places else 'missing'}")
        for record in records:
            if _record_digest(record) != record.sha256:
                self.faults.append(f"{_shown(record)}: changed")

    def _runs(self, runs: Sequence[Kept]) -> dict[str, bytes]:
        """The texts of the lists that can be inflated."""
        texts = {}
        for kept in runs:
            try:
                text = editions.inflated(kept.content)
            except ValueError as err:
                self.faults.append(f"runs of {kept.kind}: changed: {err}")
                continue
            texts[kept.kind] = text
            if canonical.digest(text) != kept.sha256:
                self.faults.append(f"runs of {kept.kind}: changed")
            elif text.count(b"\n") != kept.number:
                self.faults.append(
                    f"runs of {kept.kind}: {kept.number:,} are told, {text.count(bytes([10])):,} there"
                )
            self.found.runs += kept.number
        return texts

    def _dossier(self, records: Sequence[Kept]) -> Dossier | None:
        """What its records say; None where they are damaged."""
        if any(_record_digest(record) != record.sha256 for record in records):
            return None
        try:
            return dossier.from_records((record.kind, record.content.decode()) for record in records)
        except (OpsdError, ValueError, TypeError, KeyError) as err:
            self.faults.append(f"its records cannot be read: {err}")
            return None

    def _files(self, files: Sequence[Kept], made: Dossier | None) -> None:
        changed = {file.kind for file in files if canonical.digest(file.content) != file.sha256}
        same = self.edition.digests.get("program") == self.means.program
        if not same:
            self.found.other_program += (self.edition.name,)
        if made is None or not same:
            self.faults += [f"file {name}: changed" for name in sorted(changed)]
            return
        again = {file.name: file.content for file in self.means.render(made)}
        self.found.written_again += len(again)
        for file in files:
            if file.kind not in again:
                self.faults.append(f"file {file.kind}: no such file is written from its records")
            elif said := difference(file.content, again[file.kind]):
                self.faults.append(f"file {file.kind}: {said}")
            elif file.kind in changed:
                self.faults.append(f"file {file.kind}: its digest is changed")
            elif file.number != len(file.content):
                self.faults.append(f"file {file.kind}: its size is changed")
        for name in sorted(set(again) - {file.kind for file in files}):
            self.faults.append(f"file {name}: missing")

    # -- the whole -----------------------------------------------------------------------------------------

    def _whole(self, records: Sequence[Kept], texts: Mapping[str, bytes], files: Sequence[Kept]) -> None:
        """Its digest, made of what is there, against its row and the journal."""
        whole = editions.whole_digest(
            [_record_digest(record) for record in records],
            {period: canonical.digest(text) for period, text in texts.items()},
            {file.kind: canonical.digest(file.content) for file in files},
        )
        if whole != self.edition.digest and not self.faults:
            self.faults.append("changed: it does not match its digest")
        entry = self.entries.get(self.edition.journal_id)
        if entry is None or (entry["kind"], entry["subject"]) != (journal.CLOSE, self.edition.name):
            self.faults.append(f"journal entry {self.edition.journal_id} does not vouch for it")
        elif entry["digest"] != self.edition.digest:
            self.faults.append(f"its digest is not the one in journal entry {entry['id']}")

    def _row(self, made: Dossier) -> None:
        """What stands beside the records must be what they say."""
        edition, closing = self.edition, made.closing
        said = (made.span.text, made.span.start, made.span.end, made.span.zone, canonical.plain(made.digests))
        row = (edition.period, edition.start, edition.end, edition.zone, dict(edition.digests))
        closed = (closing.edition, closing.closed_at) if closing else (0, 0)
        for name, ours, theirs in zip(
            ("period", "start", "end", "zone", "digests", "number", "time of closing"),
            (*row, edition.number, edition.made_at), (*said, *closed), strict=True,
        ):  # fmt: skip
            if ours != theirs:
                self.faults.append(f"{name} changed: {ours}, its records say {theirs}")

    def _corrections(self, made: Dossier) -> None:
        """Each correction has its entry, right before that of the close."""
        if self.edition.number != FIRST:
            return
        first = self.edition.journal_id - len(made.corrections)
        for number, correction in enumerate(made.corrections, first):
            entry = self.entries.get(number)
            digest = canonical.digest(canonical.text(correction))
            if entry is None or (entry["subject"], entry["digest"]) != (correction.period, digest):
                self.faults.append(
                    f"journal entry {number} does not vouch for its correction of {correction.period}"
                )

    def _sum(self, made: Dossier, text: bytes | None) -> None:
        """Its lines are what its runs add up to."""
        if text is None:
            self.faults.append(f"runs of {self.edition.period}: missing")
            return
        if canonical.digest(text) != made.digests.facts:
            self.faults.append(f"runs of {self.edition.period}: not those of the digest of facts")
        try:
            runs: Mapping[str, RunUse] = corrections.listed(text.decode())
        except (BadText, ValueError) as err:
            self.faults.append(f"runs of {self.edition.period}: cannot be read: {err}")
            return
        ours = corrections.booked_of(corrections.lines_of(runs.values()), {}).lines
        said = corrections.booked(made).lines
        for key in sorted({*ours, *said}):
            if ours.get(key) != said.get(key):
                self.faults.append(f"line {corrections.named(key)}: its runs add up to another use")


def _record_digest(record: Kept) -> str:
    return canonical.digest(record.kind.encode() + b"\n" + record.content)


_SAID = re.compile(r'"(account|award|cluster|id|month|name|node_class|outside|period|uses)":"([^"]*)"')


def _shown(record: Kept) -> str:
    """A record by what it is about, as far as its damaged text still tells."""
    told: dict[str, str] = {}
    for name, value in _SAID.findall(record.content.decode(errors="backslashreplace")):
        told.setdefault(name, value)
    if record.kind == "lines" and "cluster" in told:
        return f"line {corrections.named(Key(**{name: told.get(name, '') for name in _NAMED}, person=0))}"
    what = next((told[name] for name in ("award", "id", "period", "month", "name") if told.get(name)), "")
    return f"record {record.number} ({record.kind})" + (f" of {what}" if what else "")


_NAMED = ("cluster", "node_class", "award", "account", "outside", "uses")


def difference(kept: bytes, again: bytes) -> str:
    """How a file differs from what is written again: `1 byte differs, the first at 17`; empty: not at all."""
    if kept == again:
        return ""
    places = [at for at, (a, b) in enumerate(zip(kept, again, strict=False)) if a != b]
    if len(kept) != len(again):
        more = f"{len(kept):,} bytes, written again {len(again):,}"
        return f"{more}; the first difference is at {places[0] if places else min(len(kept), len(again))}"
    count = "1 byte differs at" if len(places) == 1 else f"{len(places):,} bytes differ, the first at"
    return f"{count} {places[0]}"
