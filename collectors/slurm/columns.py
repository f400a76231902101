"""The columns sacct can print: which are free text, and what the others can look like.

Invariant: a shape is never narrower than what sacct prints in that column, so a real record always
fits its own columns; shapes are used only to find where a record's columns are, never to read them.
"""

from __future__ import annotations

import re

# Whatever a user can type lands here, with the delimiter and line ends it may hold. WCKey too:
# without enforced wckeys slurmdbd stores any text. Names Slurm or the site defines are not free.
FREE_TEXT = frozenset(
    {
        "admincomment", "comment", "constraints", "container", "extra", "jobname", "stderr", "stdin",
        "stdout", "submitline", "systemcomment", "wckey", "workdir",
    }
)  # fmt: skip

_NODE = r"[^\s,=]*"
_CLOCK = r"(?:\d+-)?(?:\d+:)?\d+:\d\d(?:\.\d+)?"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"

# Kind of column -> what its text can be. Every kind but the ids may also be empty.
SHAPES: dict[str, re.Pattern[str]] = {
    kind: re.compile(rf"(?:{pattern})\Z", re.ASCII)
    for kind, pattern in {
        "raw_id": r"\d{1,20}(?:[_+]\d+)*(?:\.[\w+]+)?",
        "id": r"\d{1,20}(?:_(?:\d+|\[[^\]\s]*\]|\*))?(?:\+\d+)?(?:\.[\w+]+)?",
        "count": r"-?\d{0,20}(?:\.\d+)?[KMGTPE]?",
        "clock": rf"|{_CLOCK}|UNLIMITED|INVALID|Partition_Limit",
        "filled_clock": rf"{_CLOCK}|UNLIMITED|INVALID",  # sacct prints these for every row, steps too
        "raw_limit": r"\d{0,20}|UNLIMITED|Partition_Limit",
        "time": rf"|{_ISO}|\d{{1,20}}|Unknown|None",
        "state": r"[A-Z][A-Z_]*(?:\+| by [\w.$-]+)?",
        "tres": r"|[^\s,=]+=[^\s,=]*(?:,[^\s,=]+=[^\s,=]*)*",
        "size": r"|\d+(?:\.\d+)?[KMGTPE]?[nc]?",
        "exit": r"|\d+:\d+",
        "node": _NODE,
        "frequency": r"|[A-Za-z0-9.,_?-]*",
        "words": r"[^\x00-\x1f\x7f]*",  # site-defined names, reasons, host lists, flags
    }.items()
}

_KINDS: dict[str, str] = {
    "raw_id": "JobIDRaw",
    "id": "JobID",
    "count": """AllocCPUS AllocNodes AssocID AvePages ConsumedEnergyRaw CPUTimeRAW DBIndex ElapsedRaw GID
        MaxDiskReadTask MaxDiskWriteTask MaxPages MaxPagesTask MaxRSSTask MaxVMSizeTask MinCPUTask NCPUS
        NNodes NTasks PlannedCPURAW Priority QOSRAW ReqCPUS ReqNodes ReservationId Restarts ResvCPURAW
        SegmentSize UID WCKeyID""",
    "clock": "AveCPU MinCPU Planned PlannedCPU Reserved ResvCPU SystemCPU Timelimit TotalCPU UserCPU",
    "filled_clock": "CPUTime Elapsed Suspended",
    "raw_limit": "TimelimitRaw",
    "time": "Eligible End Start Submit",
    "state": "State",
    "tres": """AllocTRES ReqTRES TRESUsageInAve TRESUsageInMax TRESUsageInMaxNode TRESUsageInMaxTask
        TRESUsageInMin TRESUsageInMinNode TRESUsageInMinTask TRESUsageInTot TRESUsageOutAve TRESUsageOutMax
        TRESUsageOutMaxNode TRESUsageOutMaxTask TRESUsageOutMin TRESUsageOutMinNode TRESUsageOutMinTask
        TRESUsageOutTot""",
    "size": """AveDiskRead AveDiskWrite AveRSS AveVMSize ConsumedEnergy MaxDiskRead MaxDiskWrite MaxRSS
        MaxVMSize ReqMem""",
    "exit": "DerivedExitCode ExitCode",
    "node": "FailedNode MaxDiskReadNode MaxDiskWriteNode MaxPagesNode MaxRSSNode MaxVMSizeNode MinCPUNode",
    "frequency": "AveCPUFreq ReqCPUFreq ReqCPUFreqGov ReqCPUFreqMax ReqCPUFreqMin",
    "words": """Account AllocGRES BlockID Cluster Flags Group Layout Licenses McsLabel NodeList OriginalSLUID
        Partition QOS QOSREQ Reason ReqGRES Reservation SLUID User""",
}  # fmt: skip

KIND: dict[str, str] = {name.lower(): kind for kind, names in _KINDS.items() for name in names.split()}

# Columns a record cannot do without, and those it carries if they are there.
REQUIRED = ("JobIDRaw", "Submit", "Start", "End", "State", "Account", "AllocTRES")
OPTIONAL = (
    "Cluster", "User", "Partition", "QOS", "Eligible", "ElapsedRaw", "Elapsed", "Suspended", "TimelimitRaw",
    "Timelimit", "NodeList", "JobID", "ReservationId", "AssocID", "DBIndex", "SLUID", "Flags",
)  # fmt: skip
KEPT = REQUIRED + OPTIONAL


def is_free(name: str) -> bool:
    """Whether the column may hold any text; one sacct is not known to print must be taken as such."""
    return name.lower() not in KIND


def shape(name: str) -> re.Pattern[str] | None:
    """What a structured column can look like; None for free text."""
    kind = KIND.get(name.lower())
    return SHAPES[kind] if kind else None
