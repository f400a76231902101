"""What a statement holds of people: nothing that names them, and no group of them that is small."""

from __future__ import annotations

from opsd.core.statement.table import Paragraph, Section
from opsd.core.statement.view import View
from opsd.core.statement.words import Count, msg


def section(view: View) -> Section | None:
    """The note."""
    size = Count(view.dossier.smallest_group)
    texts = [
        msg("This statement holds no names of users, no names of jobs and no paths."),
        msg(
            "What is told by attributes of users, such as the country of their home organisation, is told of"
            " at least {size} users together; smaller groups are merged. Organisations and projects are never"
            " merged.",
            size=size,
        ),
        msg(
            "Those who keep and sign the books are named where they did so: in the journal and on the cover."
        ),
    ]
    if not view.whole:
        texts.append(
            msg("It shows one part of the whole; what belongs to others, or to nobody, is left out.")
        )
    return Section("privacy", msg("Privacy"), tuple(Paragraph(text) for text in texts))
