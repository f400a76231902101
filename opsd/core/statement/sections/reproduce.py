"""How anybody with the database makes this statement again, and checks that it is the same.

Invariant: digests stand here whole.
"""

from __future__ import annotations

import shlex

from opsd.core.statement.sections.cover import DIGESTS, Fact
from opsd.core.statement.table import Facts, Paragraph, Section
from opsd.core.statement.view import REPORTED, View
from opsd.core.statement.words import Code, Count, Msg, Text, msg


def section(view: View) -> Section | None:
    """Digests, versions and commands."""
    return Section(
        "reproduce", msg("How to make it again"), (_digests(view), _commands(view), Paragraph(_how(view)))
    )


def _digests(view: View) -> Facts:
    found, closing = view.dossier.digests, view.dossier.closing
    facts: list[Fact] = [("version", msg("Version of opsd"), Text(view.dossier.version))]
    facts += [
        (name, label, Code(getattr(found, name))) for name, label in DIGESTS.items() if getattr(found, name)
    ]
    if closing is not None:
        facts.append(("edition", msg("Edition"), Count(closing.edition)))
        facts.append(("chain", msg("Head of the journal"), Code(closing.chain)))
    return Facts("inputs", msg("What it stands on (SHA-256)"), tuple(facts))


def _commands(view: View) -> Facts:
    facts: list[Fact] = []
    if view.dossier.closing is not None:
        facts.append(
            ("verify", msg("Check it"), Code(f"opsd period verify {shlex.quote(view.dossier.span.text)}"))
        )
    return Facts("commands", msg("Commands"), (*facts, ("report", msg("Make it again"), Code(command(view)))))


def command(view: View) -> str:
    """The command that makes this statement."""
    span, closing = view.dossier.span, view.dossier.closing
    words = ["opsd", "report", "--period", span.text]
    if span.zone != view.master.book_zone:
        words += ["--timezone", span.zone]
    if closing is not None:
        words += ["--as", view.standing]
        words += ["--edition", str(closing.edition)] if view.standing == REPORTED else []
    if view.scope:
        words += ["--scope", view.scope]
    return shlex.join([*words, "--format", "pdf", "-o", "statement.pdf"])


def _how(view: View) -> Msg:
    if view.dossier.closing is not None and view.standing == REPORTED:
        return msg(
            "A closed period is frozen: the same edition gives the same bytes, whatever was read since."
        )
    return msg(
        "What came to light since a close is shown by the same command after the next one, as corrections."
    )
