"""What a cluster consists of, as its own commands tell: events, reservations, the tree, partitions.

Invariant: an answer counts whole or not at all, and free text in it cannot make a record.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime

from collectors.protocol import AccountingTables, Reported, Share, Utilised
from collectors.slurm import commands, grammar, hosts, listing
from collectors.slurm.client import Client
from opsd.core.errors import BadText, Unavailable
from opsd.core.period import HOUR, zone
from opsd.core.records import (
    CONTROLLER_AWAY,
    DOWN,
    DRAIN,
    MAINT,
    POWERED_DOWN,
    REGISTERED,
    Association,
    NodeEvent,
    PartitionLimit,
    Reservation,
)

# A node's state is a base and flags, as slurm.h of 22.05 has them; sacctmgr's State says one of them alone.
_BASE, _FUTURE = 0xF, 6
_DRAIN, _POWERED_DOWN, _MAINT = 1 << 9, 1 << 12, 1 << 15
_PARTITION = re.compile(r"PartitionName=(\S+) ")
_MAX_TIME = re.compile(r" MaxTime=(\S+)")
_NODES = re.compile(r" Nodes=(\S*)")
_TRES = re.compile(r" TRES=(\S+)")
_POSIX = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)([+-]?)(\d{1,2})(?::(\d\d))?(?::(\d\d))?\Z", re.ASCII)
_A_DAY_OF_OURS = 1_767_225_600  # 2026: zones had other minutes once


class LiveMachine:
    """A cluster of a running Slurm.

    Args:
        cluster: what Slurm calls it.
        tables: slurmdbd's own tables, where the site grants them; they tell its clock.
        zone: slurmdbd's time zone: an IANA name, an offset, or a POSIX zone without summer time (`LAB-0:15`);
            None: this machine's.
    """

    def __init__(
        self,
        client: Client,
        cluster: str,
        tables: AccountingTables | None = None,
        zone: str | None = None,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._tables = tables
        self._zone_offset = time.localtime(_A_DAY_OF_OURS).tm_gmtoff if zone is None else utc_offset(zone)

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """Every event that overlaps [start, end), registrations included."""
        question = commands.events(self._cluster, start, end)
        listed = listing.with_words(self._client, question, commands.EVENT_FIELDS, commands.EVENT_REASON)
        return [self._event(record, reason) for record, reason in listed]

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """Every record of a reservation that overlaps [start, end), ended ones included."""
        question = commands.reservations(self._cluster, start, end)
        listed = listing.with_words(
            self._client, question, commands.RESERVATION_FIELDS, commands.RESERVATION_NAME
        )
        return [self._reservation(record, name) for record, name in listed]

    def associations(self) -> Sequence[Association]:
        """The whole tree as it is now, with what was deleted from it.

        Until 23.11 nothing that sacctmgr prints says which are deleted: the list of the others does. It is
        asked for last, so that one that comes up meanwhile is in neither.
        """
        question = commands.associations(self._cluster)
        everyone = listing.records(self._client, [*question, "withdeleted"], commands.ASSOCIATION_FIELDS)
        alive = {row[0] for row in listing.records(self._client, question, commands.ASSOCIATION_FIELDS)}
        return [
            Association(
                self._cluster, grammar.whole(row[0], "association"), row[1], row[2], row[3],
                row[1] if row[2] else row[4], row[0] not in alive,
            )
            for row in everyone
        ]  # fmt: skip

    def partitions(self) -> Sequence[PartitionLimit]:
        """The partitions as they are configured now."""
        return [self._partition(line) for line in self._client.lines(commands.PARTITIONS)]

    def tracked(self) -> Sequence[str]:
        """The TRES that the accounting keeps."""
        rows = listing.records(self._client, commands.TRACKED, commands.TRES_FIELDS)
        return ["/".join(filter(None, row)) for row in rows]

    def reported(self, start: int, end: int, tres: Sequence[str]) -> Sequence[Reported]:
        """`sreport cluster AccountUtilizationByUser` in seconds."""
        from collectors.slurm import reports

        return reports.reported(self._client, start, end, tres, self.hour_offset(), self._cluster)

    def utilised(self, start: int, end: int, tres: Sequence[str]) -> Sequence[Utilised]:
        """`sreport cluster Utilization` in seconds."""
        from collectors.slurm import reports

        return reports.utilised(self._client, start, end, tres, self.hour_offset(), self._cluster)

    def shares(self) -> Sequence[Share]:
        """`sshare`: what limits are enforced by."""
        from collectors.slurm import reports

        return reports.shares(self._client, self._cluster)

    def rolled_until(self) -> int | None:
        """The end of the last hour that slurmdbd has added up, by its statistics."""
        from collectors.slurm import reports

        return reports.rolled_until(self._client, self.hour_offset())

    def hour_offset(self) -> int:
        """Seconds into a UTC hour at which slurmdbd's hours begin, by its own rows if those can be read."""
        told = None if self._tables is None else self._tables.hour_offset()
        return -self._zone_offset % HOUR if told is None else told

    def _event(self, record: Sequence[str], reason: str) -> NodeEvent:
        node, start, end, raw, state, tres, nodes = record
        began = grammar.time(start, None, "TimeStart")
        if began is None:
            raise Unavailable(f"sacctmgr show event: an event without a start: {'|'.join(record)[:120]!r}")
        return NodeEvent(
            self._cluster, node, began, grammar.time(end, None, "TimeEnd"),
            kind(node, grammar.whole(raw, "StateRaw")), state, reason, grammar.tres(tres).text,
            hosts.check(nodes),
        )  # fmt: skip

    def _reservation(self, record: Sequence[str], name: str) -> Reservation:
        number, start, end, flags, nodes, tres, associations = record
        times = [grammar.time(start, None, "TimeStart"), grammar.time(end, None, "TimeEnd")]
        if times[0] is None or times[1] is None:
            raise Unavailable(f"sacctmgr show reservation: one without its times: {'|'.join(record)[:120]!r}")
        return Reservation(
            self._cluster, grammar.whole(number, "reservation"), times[0], times[1], name, hosts.check(nodes),
            ",".join(sorted(filter(None, flags.split(",")))), grammar.tres(tres).text,
            tuple(grammar.whole(one, "association") for one in associations.split(",") if one),
        )  # fmt: skip

    def _partition(self, line: str) -> PartitionLimit:
        name, limit = _PARTITION.match(line), _MAX_TIME.search(line)
        nodes, tres = _NODES.search(line), _TRES.search(line)
        seconds = grammar.time_limit(limit[1]) if limit else None
        if name is None or seconds is None:
            raise Unavailable(
                f"scontrol show partition: no PartitionName or MaxTime: {line[:120]!r}: is it Slurm's?"
            )
        return PartitionLimit(
            self._cluster, name[1], seconds, hosts.check(nodes[1]) if nodes else "",
            grammar.tres(tres[1]).text if tres and tres[1] != "(null)" else "",
        )  # fmt: skip


def kind(node: str, state: int) -> str:
    """What an event is about, by the number of its state.

    The order is that of the roll-up: maintenance before all, then nodes that are off on purpose.
    """
    if not node:
        return CONTROLLER_AWAY if state else REGISTERED
    if state & _MAINT:
        return MAINT
    if state & _BASE == _FUTURE or state & _POWERED_DOWN:
        return POWERED_DOWN
    return DRAIN if state & _DRAIN else DOWN


def utc_offset(name: str) -> int:
    """Seconds that a zone's clock is ahead of UTC in winter; in summer the minutes of the hour are the same.

    POSIX counts the other way round: `LAB-0:15` is a quarter of an hour ahead.
    """
    if found := _POSIX.match(name):
        sign, hours, minutes, seconds = found.groups()
        west = (int(hours) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
        return west if sign == "-" else -west
    offset = datetime.fromtimestamp(_A_DAY_OF_OURS, zone(name)).utcoffset()
    if offset is None:
        raise BadText("a time zone without an offset", name, "write Europe/Madrid, UTC or +05:30")
    return int(offset.total_seconds())
