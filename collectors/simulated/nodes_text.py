"""The simulated nodes and reservations as `scontrol --oneliner` prints them, with epochs for times.

Invariant: what a node has allocated is what its running jobs hold; a node that is down holds none.
"""

from __future__ import annotations

from collectors.simulated.live import Moment
from collectors.simulated.machine import GPP, PARTITIONS, UPG, Partition, host_list, node_name
from collectors.simulated.rhythm import DAY, HOUR
from collectors.simulated.scheduler import Place, Run
from opsd.core.period import Window

_DRAINED_BECAUSE = {GPP: "memory exchange, RMA 2291"}
_OTHERWISE = "NVLink errors on GPU 2, ticket 4711"
_MAINTENANCE_HOURS = 8
_MAINTENANCE = UPG


def nodes(now: Moment) -> str:
    """Every node, a line each."""
    here: dict[Place, list[Run]] = {}
    for run in now.running:
        for node in run.nodes:
            here.setdefault((run.request.shape.partition, node), []).append(run)
    places = [(place, node) for place, partition in enumerate(PARTITIONS) for node in range(partition.nodes)]
    return "".join(_node(now, place, here.get(place, [])) for place in places)


def _node(now: Moment, place: Place, runs: list[Run]) -> str:
    partition, number = PARTITIONS[place[0]], place[1]
    name = node_name(partition, number)
    shapes = [run.request.shape for run in runs]
    cpus, gpus = sum(shape.cpus for shape in shapes), sum(shape.gpus for shape in shapes)
    mem = sum(partition.mem_mb * shape.slots // partition.slots for shape in shapes)
    gres = f"gpu:{partition.gpu_type}:{partition.gpus}(S:0-1)" if partition.gpus else "(null)"
    busy = max((run.start or 0 for run in runs), default=now.at)
    return (
        f"NodeName={name} Arch=x86_64 CoresPerSocket={partition.cores // 2}  CPUAlloc={cpus} "
        f"CPUEfctv={partition.cpus} CPUTot={partition.cpus} CPULoad={cpus * 0.9:.2f} "
        f"AvailableFeatures=(null) ActiveFeatures=(null) Gres={gres} "
        f"GresDrain=N/A GresUsed={_used(partition, gpus)} NodeAddr={name} NodeHostName={name} "
        f"Version=25.05.3 OS=Linux RealMemory={partition.mem_mb} AllocMem={mem} "
        f"FreeMem={partition.mem_mb - mem} Sockets=2 Boards=1 State={_state(now, place, cpus)} "
        f"ThreadsPerCore=2 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions={partition.name}  "
        f"BootTime={now.at - now.at % DAY - 20 * DAY} SlurmdStartTime={now.at - now.at % DAY - 20 * DAY} "
        f"LastBusyTime={busy} ResumeAfterTime=None "
        f"CfgTRES={_tres(partition, partition.cpus, partition.mem_mb, partition.gpus)} "
        f"AllocTRES={_tres(partition, cpus, mem, gpus) if runs else ''} "
        f"CurrentWatts=0 AveWatts=0{_reason(now, place)}\n"
    )


def _used(partition: Partition, gpus: int) -> str:
    """A slice counts as the GPU it was cut from: the simulated nodes are configured with whole ones."""
    if not partition.gpus:
        return "gpu:0"
    return f"gpu:{partition.gpu_type}:{gpus}(IDX:{_indices(gpus)})"


def _indices(gpus: int) -> str:
    return "N/A" if not gpus else "0" if gpus == 1 else f"0-{gpus - 1}"


def _tres(partition: Partition, cpus: int, mem: int, gpus: int) -> str:
    typed = f",gres/gpu={gpus},gres/gpu:{partition.gpu_type}={gpus}" if gpus else ""
    return f"cpu={cpus},mem={mem}M,billing={cpus}{typed}"


def _state(now: Moment, place: Place, cpus: int) -> str:
    whole = PARTITIONS[place[0]].cpus
    base = "IDLE" if not cpus else "ALLOCATED" if cpus >= whole else "MIXED"
    if place in now.broken:
        base = "DOWN"
    maintained = place[0] == _MAINTENANCE and _span(now).start <= now.at < _span(now).end
    flags = {
        "+DRAIN": place in now.drained,
        "+NOT_RESPONDING": base == "DOWN",
        "+MAINTENANCE+RESERVED": maintained,
    }
    return base + "".join(flag for flag, is_set in flags.items() if is_set)


def _reason(now: Moment, place: Place) -> str:
    if place in now.broken:
        return f" Reason=Not responding [slurm@{now.broken[place]}]"
    if place in now.drained:
        why = _DRAINED_BECAUSE.get(place[0], _OTHERWISE)
        return f" Reason={why} [root@{now.drained[place]}]"
    return ""


def reservations(now: Moment) -> str:
    """One maintenance, in two days."""
    partition, span = PARTITIONS[_MAINTENANCE], _span(now)
    if now.at >= span.end:
        return "No reservations in the system\n"
    hosts = host_list(partition, tuple(range(partition.nodes)))
    return (
        f"ReservationName=cooling-loop StartTime={span.start} EndTime={span.end} "
        f"Duration={_MAINTENANCE_HOURS:02d}:00:00 Nodes={hosts} NodeCnt={partition.nodes} "
        f"CoreCnt={partition.nodes * partition.cores} Features=(null) PartitionName={partition.name} "
        f"Flags=MAINT,IGNORE_JOBS,SPEC_NODES,PART_NODES TRES=cpu={partition.nodes * partition.cpus} "
        "Users=root Groups=(null) Accounts=(null) Licenses=(null) "
        f"State={'ACTIVE' if now.at >= span.start else 'INACTIVE'} BurstBuffer=(null) MaxStartDelay=(null)\n"
    )


def _span(now: Moment) -> Window:
    """A morning's work, two days after the day that the factory was started on."""
    start = now.begun - now.begun % DAY + 2 * DAY + 6 * HOUR
    return Window(start, start + _MAINTENANCE_HOURS * HOUR)
