"""What only a command line knows of an edition: how its files are written, the settings, the program.

Invariant: the same dossier gives the same files; a ZIP of them is made when asked for and never frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from opsd.config import Settings
from opsd.core import canonical
from opsd.core.dossier import Dossier
from opsd.store.editions import File

# Of the place, not of the books: the same month in another database is the same edition. And secrets.
_LEFT_OUT = frozenset({"database_url", "source", "password", "token"})
_DERIVED = frozenset({"zip"})

Progress = Callable[[int, int | None], None]


def render(made: Dossier, progress: Progress = lambda *_: None) -> tuple[File, ...]:
    """Every format in every language, of the whole installation."""
    from opsd import reports
    from opsd.core.statement.build import REPORTED, build
    from opsd.reports.locale import STYLES

    statement = build(made, standing=REPORTED)
    wanted = [(form, language) for form in reports.FORMATS if form not in _DERIVED for language in STYLES]
    found = []
    for place, (form, language) in enumerate(wanted, 1):
        name = reports.file_name(statement, form, language)
        found.append(File(name, reports.render(statement, form, language)))
        progress(place, len(wanted))
    return tuple(sorted(found))


def configuration(chosen: Settings) -> str:
    """A digest of the settings in force, without secrets and without where the database is."""
    return canonical.digest(canonical.dumped(_plain(chosen)))


def _plain(value: Any) -> Any:  # noqa: ANN401  # whatever a setting holds
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.name not in _LEFT_OUT
        }
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
