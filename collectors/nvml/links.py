"""NVLink of one GPU: links that are up, errors, and, where wanted, each link by itself.

Invariant: a sum over links is shown only if every link gave its part, so that it cannot fall and rise again.

Sources: NVIDIA's nvml.h. Up to NVLink 4 errors are counted by link (161-163) or in totals (38, 45, 52, 59),
on NVLink 5 by new numbers (206-221). None of it was seen on hardware: the GPU at hand had no NVLink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import FATAL, UNSUPPORTED, Handle
from collectors.nvml.fields import ALL_LINKS, Batch, Field, nvlink_traffic
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Reading

ACTIVE = Reading("nvlink_links_active")
ERRORS = "nvlink_errors_total"
OF_A_LINK = "nvlink_link_errors_total"

_BY_LINK = {
    "replay": nvml.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY,
    "recovery": nvml.NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY,
    "crc": nvml.NVML_FI_DEV_NVLINK_ERROR_DL_CRC,
}
_TOTALS = {
    "replay": nvml.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL,
    "recovery": nvml.NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL,
    "crc_flit": nvml.NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL,
    "crc_data": nvml.NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL,
}
_FIFTH = {
    "malformed_packet": nvml.NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS,
    "buffer_overrun": nvml.NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS,
    "receive": nvml.NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS,
    "receive_remote": nvml.NVML_FI_DEV_NVLINK_COUNT_RCV_REMOTE_ERRORS,
    "receive_general": nvml.NVML_FI_DEV_NVLINK_COUNT_RCV_GENERAL_ERRORS,
    "link_integrity": nvml.NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS,
    "transmit_discard": nvml.NVML_FI_DEV_NVLINK_COUNT_XMIT_DISCARDS,
    "recovery_successful": nvml.NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS,
    "recovery_failed": nvml.NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS,
    "effective": nvml.NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS,
    "symbol": nvml.NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS,
}


class Links:
    """Reads them again and again, and remembers what there is; `each`: each link by itself, too."""

    def __init__(self, sieve: Sieve, *, each: bool) -> None:
        self._sieve = sieve
        self._each = each
        self._links: tuple[int, ...] | None = None  # those that the GPU has; None: not asked yet
        self._by_link = Batch((), sieve)
        self._traffic = Batch((), sieve)
        self._totals: tuple[Batch, ...] = (
            Batch((Field(number, Reading(ERRORS, (kind,))) for kind, number in _TOTALS.items()), sieve),
            Batch(
                (Field(number, Reading(ERRORS, (kind,)), scope=ALL_LINKS) for kind, number in _FIFTH.items()),
                sieve,
            ),
        )

    def read(self, handle: Handle, found: dict[Reading, float]) -> None:
        """What is wanted in each collection: traffic by link, if at all.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        self._traffic.read(handle, found)

    def read_rarely(self, handle: Handle, found: dict[Reading, float]) -> None:
        """Which links are up, and errors.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        states = self._states(handle)
        if states is None:
            return
        self._sieve.keep(ACTIVE, sum(states.values()), found)
        if self._each:
            for link, state in states.items():
                self._sieve.keep(Reading("nvlink_link_up", (str(link),)), state, found)
        self._read_errors(handle, found)

    @property
    def unsupported(self) -> frozenset[str]:
        """Readings of NVLink that the GPU has not."""
        if self._links is None:
            return frozenset()
        lacking = set() if self._links else {str(ACTIVE)}
        if not any(batch.given for batch in (self._by_link, *self._totals)):
            lacking.add(ERRORS)
        return frozenset(lacking)

    def _states(self, handle: Handle) -> dict[int, int] | None:
        """By link; None: some of them could not be read this time, or there are none."""
        asked = range(nvml.NVML_NVLINK_MAX_LINKS) if self._links is None else self._links
        states: dict[int, int] = {}
        for link in asked:
            try:
                states[link] = nvml.nvmlDeviceGetNvLinkState(handle, link)
            except FATAL:
                raise
            except (*UNSUPPORTED, nvml.NVMLError_InvalidArgument):
                continue
            except nvml.NVMLError:
                self._sieve.fail([ACTIVE])
                return None
        if self._links is None:
            self._meet(tuple(states))
        return states or None

    def _meet(self, links: tuple[int, ...]) -> None:
        self._links = links
        self._by_link = Batch(_errors(links), self._sieve)
        if not links:
            self._totals = ()
        if self._each:
            self._traffic = Batch(_traffic(links), self._sieve)

    def _read_errors(self, handle: Handle, found: dict[Reading, float]) -> None:
        by_link: dict[Reading, float] = {}
        self._by_link.read(handle, by_link)
        if not self._by_link.given:
            for batch in self._totals:
                batch.read(handle, found)
                if batch.given:
                    return
        parts = Counter(reading.kinds[1] for reading in by_link)
        for kind in [kind for kind, count in parts.items() if count == len(self._links or ())]:
            errors = sum(value for reading, value in by_link.items() if reading.kinds[1] == kind)
            self._sieve.keep(Reading(ERRORS, (kind,)), errors, found)
        if self._each:
            found.update(by_link)


def _errors(links: tuple[int, ...]) -> Iterator[Field]:
    for link in links:
        for kind, number in _BY_LINK.items():
            yield Field(number, Reading(OF_A_LINK, (str(link), kind)), scope=link)


def _traffic(links: tuple[int, ...]) -> Iterator[Field]:
    for link in links:
        me = (str(link),)
        sent, received = (Reading(f"nvlink_link_{way}_bytes_total", me) for way in ("transmit", "receive"))
        yield from nvlink_traffic(sent, received, link)
