"""The error tree: what opsd raises when the world or its user is at fault.

    OpsdError              anything opsd can explain; never shown with a traceback
    ├── WrongUsage         the command line asks for something that does not exist (exit 2)
    ├── BadInput           a file or value from outside cannot be read as what it claims to be
    │   └── BadText        one text breaks the grammar it should follow (carries the text)
    ├── StoreError         the database cannot be opened, read or written
    ├── Unavailable        something outside (Slurm, a server) does not answer, or not whole: try again later
    │   └── TooWide        the question was too large for whoever should answer: ask for less
    └── Refused            the request is understood and must not be done (overlap, cycle, …)

A message names the thing, the value and what to do about it. Expected trouble *inside* data is
returned beside the result (quarantine), not raised; a bug is not caught.
"""

from __future__ import annotations


class OpsdError(Exception):
    """Anything opsd can explain to a person; `exit_code` is what the process ends with."""

    exit_code = 1


class WrongUsage(OpsdError):
    """The command line names a key, option or combination that does not exist."""

    exit_code = 2


class BadInput(OpsdError):
    """A file or value from outside cannot be read as what it claims to be."""


class BadText(BadInput):
    """One text does not follow the grammar it should follow."""

    def __init__(self, what: str, text: str, remedy: str = "") -> None:
        shown = text if len(text) <= 80 else f"{text[:77]}…"
        tail = f"; {remedy}" if remedy else ""
        super().__init__(f"{what}: {shown!r}{tail}")
        self.what = what
        self.text = text
        self.remedy = remedy


class StoreError(OpsdError):
    """The database cannot be opened, read or written."""


class Unavailable(OpsdError):
    """Something outside does not answer, or not whole; the same again may work later."""


class TooWide(Unavailable):
    """The answer takes too long or is too large: a smaller question may have one."""


class Refused(OpsdError):
    """The request is understood and must not be carried out."""
