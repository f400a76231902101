"""sshare's table, as `commands.ACCOUNT_SHARES` asks for it, to accounts' shares.

Invariant: accounts alone: no user, and not the root of the tree, which nobody promised anything.
"""

from __future__ import annotations

import math

from collectors.slurm import commands
from collectors.slurm.present_words import columns, each, table
from opsd.core.errors import BadText
from opsd.core.present import AccountShare

_ROOT = "root"


def read(text: str) -> list[AccountShare]:
    """Every account.

    Raises:
        Unavailable: a line cannot be read, or the table is not whole.
    """
    found = each("sshare", table("sshare", text, commands.ACCOUNT_SHARE_FIELDS), _share)
    return [share for share in found if share is not None and share.account != _ROOT]


def _share(line: str) -> AccountShare | None:
    account, user, *numbers = (column.strip() for column in columns(line, commands.ACCOUNT_SHARE_FIELDS))
    if not account:
        raise BadText("there is no account", line)
    shares, usage, level = (
        _number(told, name)
        for told, name in zip(numbers, commands.ACCOUNT_SHARE_FIELDS[2:], strict=True)
    )  # fmt: skip
    if user:
        return None
    if shares is None:  # as without priority/multifactor, when the zeros behind mean nothing either
        return AccountShare(account, None, None, None)
    return AccountShare(account, shares, usage, level)


def _number(text: str, what: str) -> float | None:
    """A share; None where Slurm prints none, and for `inf`, the level of whoever has used nothing."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as err:
        raise BadText(f"{what} is not a number", text) from err
    return number if math.isfinite(number) else None
