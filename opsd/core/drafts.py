"""Journal entries that wait for a person to post or decline them.

Invariant: a draft is decided once; whoever wrote one never is the second person that approves it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from opsd.core import canonical, fields
from opsd.core.awards import Award
from opsd.core.errors import Refused
from opsd.core.journal import Entry

WAITING, POSTED, DECLINED = "waiting", "posted", "declined"


class Content(NamedTuple):
    """What a draft would do: post these entries, or make an award of another, which posts what follows."""

    entries: tuple[Entry, ...]
    before: Award | None = None  # as it was when this was drafted; None: there was none
    after: Award | None = None  # None: master data stay

    @property
    def text(self) -> str:
        """As it is kept."""
        return canonical.text(self)

    @classmethod
    def read(cls, text: str) -> Content:
        """The inverse of `text`."""
        content: Content = canonical.read(cls, json.loads(text))
        return content


@dataclass(frozen=True, slots=True)
class Draft:
    """One that waits, or what became of it. The daemon's have a mark, and no author till one approves."""

    made_at: int
    kind: str
    content: Content
    author: str = ""
    mark: str | None = None  # what the daemon drafted it for, once: CLUSTER/JOB@SUBMIT
    id: int = 0  # 0: not stored yet
    state: str = WAITING
    decided_at: int | None = None
    decided_by: str = ""
    reason: str = ""  # of the decision

    def __post_init__(self) -> None:
        fields.words("author", self.author)
        fields.words("decided_by", self.decided_by)
        fields.words("reason", self.reason)

    @property
    def guarded_kinds(self) -> tuple[str, ...]:
        """The kinds of what it posts."""
        return tuple(sorted({self.kind, *(entry.kind for entry in self.content.entries)}))


def same_person(one: str, other: str) -> bool:
    """Whether two names are one, however they are typed."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class Signed(NamedTuple):
    """Who answers for what a draft posts."""

    author: str
    approver: str = ""


def sign(draft: Draft, person: str, guards: Callable[[str], bool]) -> Signed | None:
    """Whose names the entries carry once `person` approves; None: a second person must approve as well.

    Args:
        guards: whether a second person must approve a kind of entries.

    Raises:
        Refused: it is decided already, or the same person would approve twice.
    """
    if draft.state != WAITING:
        raise Refused(f"draft {draft.id} was {draft.state} by {draft.decided_by} already; nothing was posted")
    guarded = any(guards(kind) for kind in draft.guarded_kinds)
    if not draft.author:
        return None if guarded else Signed(person)
    if not same_person(draft.author, person):
        return Signed(draft.author, person)
    if guarded:
        raise Refused(
            f"draft {draft.id} is {draft.author}'s own: a second person must approve a {draft.kind} here; "
            "let somebody else approve it"
        )
    return Signed(draft.author)


def signed(draft: Draft, names: Signed, now: int) -> tuple[Entry, ...]:
    """The entries to post. What the daemon drafted takes effect when somebody posts it."""
    return tuple(
        replace(
            entry, author=names.author, approver=names.approver, posted=now,
            at=entry.at if draft.mark is None else max(now, entry.at),
        )
        for entry in draft.content.entries
    )  # fmt: skip
