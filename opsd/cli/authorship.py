"""Who changes master data, why, and from which file."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from pathlib import Path

from opsd.core import fields
from opsd.core.errors import BadInput, WrongUsage
from opsd.core.fields import BadField

UNKNOWN = "unknown"


def add_authorship(parser: ArgumentParser) -> None:
    """The options every change is made with."""
    parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
    parser.add_argument("--author", metavar="NAME", help="who answers for it in the journal (default: login)")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")


def author(given: str | None) -> str:
    """Who is asking."""
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return UNKNOWN  # a container's user without a name


def add_signature(parser: ArgumentParser) -> None:
    """The options that every journal entry is written with: a reason is asked for."""
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the journal")
    parser.add_argument("--author", metavar="NAME", help="who answers for it in the journal (default: login)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be posted, post nothing")


def signer(given: str | None) -> str:
    """Who answers for a journal entry; nobody nameless does."""
    name = author(given).strip() if given is None else given.strip()
    if not name or (given is None and name == UNKNOWN):
        raise WrongUsage("--author: nobody is named, and no login is known: write who answers for it")
    return one_line("--author", name)


def reason(text: str) -> str:
    """Why; a blank reason is none."""
    if not text.strip():
        raise WrongUsage("--reason is empty: write why, for whoever reads the journal later")
    return one_line("--reason", text)


def one_line(option: str, given: str) -> str:
    """A text for the journal: something, and on one line."""
    text = given.strip()
    if not text:
        raise WrongUsage(f"{option} is empty: write it, or leave the option out")
    try:
        fields.words(option, text)
    except BadField as err:
        raise WrongUsage(str(err)) from err
    return text


def read_text(path: str) -> str:
    """A file's text, or standard input's for `-`."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")  # some editors put a mark before the text
    except OSError as err:
        raise BadInput(f"{path}: {err.strerror}; check the path and its permissions") from err
    except UnicodeDecodeError as err:
        line = err.object.count(b"\n", 0, err.start) + 1
        raise BadInput(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from err
