"""XIDs in the kernel's log, from a socket that keeps records apart as /dev/kmsg does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.kernel_log import KernelLog, Place, place
from opsd.core.telemetry import Xid

BOOT = 1_700_000_000.0
UPTIME = 5_000.0
WHERE = Place(0, 0x3B, 0)
UUID = "GPU-c43f0536-e751-7211-d7a7-78c95249ee7d"
FALLEN = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


class Kernel:
    """Writes a log that a test reads, one record a read."""

    def __init__(self) -> None:
        self.reads, self.writes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sequence = 0
        self.opened = 0

    def open(self, _path: Path) -> int:
        """A file descriptor of its own for each reader, as the device gives it."""
        self.opened += 1
        return os.dup(self.reads.fileno())

    def says(self, text: str, *, since_boot: float = 4_000.0, priority: int = 3) -> None:
        """One more record."""
        self.sequence += 1
        record = f"{priority},{self.sequence},{int(since_boot * 1e6)},-;{text}\n"
        self.writes.send(record.encode())

    def close(self) -> None:
        """Nobody writes or reads any more."""
        self.reads.close()
        self.writes.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel with an empty log."""
    started = Kernel()
    yield started
    started.close()


@pytest.fixture
def log(kernel: Kernel) -> Iterator[KernelLog]:
    """Its log, not opened yet."""
    reader = KernelLog(Path("kmsg"), clock=lambda: BOOT + UPTIME, uptime=lambda: UPTIME, opener=kernel.open)
    yield reader
    reader.close()


def found(log: KernelLog) -> dict[int, Xid]:
    """The XIDs of the GPU at 3b:00."""
    return log.by_uuid({WHERE: UUID}).get(UUID, {})


def test_what_was_there_before_dates_and_does_not_count(kernel: Kernel, log: KernelLog) -> None:
    """An old XID gives its time with the count 0; a new one of the same number counts 1 and is later."""
    kernel.says(FALLEN, since_boot=1_000)
    log.read()
    assert {79: Xid(0, BOOT + 1_000)} == found(log)

    kernel.says(FALLEN, since_boot=4_500)
    log.read()
    assert {79: Xid(1, BOOT + 4_500)} == found(log)
    log.read()
    assert {79: Xid(1, BOOT + 4_500)} == found(log)


@pytest.mark.parametrize(
    ("line", "xid"),
    [
        (FALLEN, 79),
        ("NVRM: Xid (PCI:0000:3B:00): 13, Graphics Exception: ESR 0x505224=0x80000000", 13),
        ("NVRM: Xid (PCI:00000000:3b:00): 48, pid=4242, name=python, Double Bit ECC Error", 48),
        ("NVRM: Xid (PCI:0000:3b:00.0): 94, pid=7, Contained: SM (0x1). RST: No, D-RST: No", 94),
        ("NVRM: Xid (0000:3b:00): 6, PE0001", 6),
        ("NVRM: Xid (PCI:0000:3b:00 GPU-I:05): 31, pid=9, name=a.out, Ch 00000008, MMU Fault", 31),
        ("NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to 0x1", 154),
        ("NVRM: Xid (PCI:0000:3b:00): 8, Channel 00000001", 8),
    ],
)
def test_shapes_of_a_line(line: str, xid: int, kernel: Kernel, log: KernelLog) -> None:
    """Old and new drivers, with and without function or MIG instance, domain of four or eight digits."""
    log.read()
    kernel.says(line)
    log.read()

    assert {xid: Xid(1, BOOT + 4_000)} == found(log)


@pytest.mark.parametrize(
    "line",
    [
        "nvidia-nvswitch3: SXid (PCI:0000:3b:00.0): 28006, Data {0x00140004}",
        "NVRM: Xid (PCI:0000:3b:00): none",
        "NVRM: Xid (PCI:zz00:3b:00): 79",
        "NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.",
        "usb 1-1: new device",
        "",
    ],
)
def test_other_lines(line: str, kernel: Kernel, log: KernelLog) -> None:
    """What is no XID of a GPU counts as none."""
    log.read()
    kernel.says(line)
    log.read()

    assert {} == log.by_uuid({})


def test_only_the_kernel_is_believed(kernel: Kernel, log: KernelLog) -> None:
    """A process that may write into the log (facility 1 and up) cannot make a GPU look sick."""
    log.read()
    kernel.says(FALLEN, priority=1 << 3 | 4)
    kernel.writes.send(b"not a record\n")
    kernel.writes.send(b" SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0\n")
    log.read()

    assert {} == log.by_uuid({})


def test_a_record_with_details_of_a_device(kernel: Kernel, log: KernelLog) -> None:
    """Continuation lines belong to the record, and do not make a second one."""
    log.read()
    kernel.says(FALLEN + "\n SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0")
    log.read()

    assert {79: Xid(1, BOOT + 4_000)} == found(log)


def test_whose_it_is(kernel: Kernel, log: KernelLog) -> None:
    """The driver's table beats the log's own line; with neither it is under no UUID."""
    kernel.says(f"NVRM: GPU at PCI:0000:3b:00: {UUID}")
    kernel.says(FALLEN)
    kernel.says(FALLEN.replace("3b", "86"))
    log.read()
    old = Xid(0, BOOT + 4_000)

    assert {UUID: {79: old}, "": {79: old}} == log.by_uuid({})
    assert {"GPU-new": {79: old}, "GPU-86": {79: old}} == log.by_uuid(
        {WHERE: "GPU-new", Place(0, 0x86, 0): "GPU-86"}
    )


def test_records_that_were_overwritten(
    log: KernelLog, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says with EPIPE that records are gone: reading goes on with those there are."""
    log.read()
    kernel.says(FALLEN)
    real, gone = os.read, [True]

    def read(file: int, size: int) -> bytes:
        if gone.pop() if gone else False:
            raise BrokenPipeError
        return real(file, size)

    monkeypatch.setattr(os, "read", read)
    log.read()

    assert {79: Xid(1, BOOT + 4_000)} == found(log)
    assert 1 == kernel.opened


def test_a_log_that_fails_is_opened_anew(
    log: KernelLog, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trouble is raised; the next time it is read from its oldest record, and none counts twice."""
    path = tmp_path / "kmsg"
    path.write_text("")
    log = KernelLog(path, clock=lambda: BOOT + UPTIME, uptime=lambda: UPTIME)
    log.read()
    path.write_text(f"3,1,4000000000,-;{FALLEN}\n")
    log.read()

    def fails(_file: int, _size: int) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "read", fails)
        with pytest.raises(OSError, match="Input/output error"):
            log.read()
    with path.open("a") as more:
        more.write(f"3,2,4500000000,-;{FALLEN}\n")
    log.read()
    log.close()

    assert {79: Xid(2, BOOT + 4_500)} == found(log)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """It is told apart from one that is empty."""
    log = KernelLog(tmp_path / "absent", clock=lambda: BOOT, uptime=lambda: UPTIME)
    with pytest.raises(FileNotFoundError):
        log.open()


def test_a_clock_of_the_records_that_runs_fast(kernel: Kernel, log: KernelLog) -> None:
    """An error is never dated later than now."""
    log.read()
    kernel.says(FALLEN, since_boot=UPTIME + 3)
    log.read()

    assert {79: Xid(1, BOOT + UPTIME)} == found(log)


def test_a_log_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round takes so many records and no more; what is old stays old until the end was seen once."""
    written = iter(range(1, 10**9))
    log = KernelLog(
        Path("kmsg"),
        clock=lambda: BOOT + UPTIME,
        uptime=lambda: UPTIME,
        opener=lambda _path: os.open(os.devnull, os.O_RDONLY),
    )
    monkeypatch.setattr("collectors.kernel_log._MOST_RECORDS", 10)
    monkeypatch.setattr(os, "read", lambda _file, _size: f"3,{next(written)},1,-;{FALLEN}\n".encode())
    log.read()
    log.close()

    assert 11 == next(written)
    assert {79: 0} == {xid: seen.times for xid, seen in found(log).items()}


def test_a_file_is_left(kernel: Kernel) -> None:
    """Closing gives the descriptor back, twice does no harm."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    log = KernelLog(Path("kmsg"), clock=lambda: BOOT, uptime=lambda: UPTIME, opener=kernel.open)
    log.read()
    log.close()
    log.close()

    assert before == len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000:3B:00.0", Place(0, 0x3B, 0)),
        ("0018:01:00.0", Place(0x18, 1, 0)),
        ("", None),
        ("3b:00.0", None),
    ],
)
def test_a_bus_id(text: str, expected: Place | None) -> None:
    """As the driver writes it; anything else is no place."""
    assert expected == place(text)
