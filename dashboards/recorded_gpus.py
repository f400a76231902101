"""Recording rules of GPUs: how they are, who holds them, and what of that lies idle.

Invariant: what lies idle is part of what is held, and what is held of a GPU is one GPU at most; where the
activity of a GPU cannot be told, it is neither idle nor busy.
"""

from __future__ import annotations

from dashboards.promql import series
from dashboards.recorded_series import Recorded, by

IDLE_BELOW = 0.01  # of the SMs, on average over half an hour: no job works so little
# Clocks held down because of heat or of the board's supply; under a power cap they are every day.
SLOWDOWNS = ("thermal", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
_RATE = "10m"  # wide enough for a site that scrapes every few minutes

_PROJECT = ("cluster", "project", "organisation", "country", "pool")
_JOB = ("cluster", "jobid", "account", "user")
_HELD = ("cluster", "node", "uuid", "jobid", "account", "user", "project", "organisation", "country", "pool")
_GPU, _UUID = ("cluster", "node", "gpu", "uuid"), ("cluster", "node", "uuid")
_NODE, _CLUSTER, _COUNTRY = ("cluster", "node"), ("cluster",), ("cluster", "country")


def _jobs() -> str:
    """Each GPU's jobs by their shares of it, together one GPU at most.

    Jobs on MIG devices share their GPU by how many of them each holds, as if no other were there.
    Where Prometheus has no mark of a series' end (a backfill, an agent that fell silent), a job stays for
    five minutes beside the one that follows it on the same GPU.
    """
    gpus, devices = series("opsd_gpu_job_info", 'parent=""'), series("opsd_gpu_job_info", 'parent!=""')
    job = "jobid, account, user"
    whole = f"max by (cluster, node, uuid, {job}) ({gpus})"
    parts = f"sum by (cluster, node, parent, {job}) (max by (cluster, node, uuid, parent, {job}) ({devices}))"
    moved = f'label_join({parts}, "uuid", "", "parent")'
    jobs = f"({whole} or sum by (cluster, node, uuid, {job}) ({moved}))"
    held_of_it = f"clamp_min(sum by (cluster, node, uuid) ({jobs}), 1)"
    return f"{jobs} / on (cluster, node, uuid) group_left () {held_of_it}"


def _of_project(jobs: str) -> str:
    """Whose jobs they are: also of an account that no award pays for."""
    whose = "project, organisation, country, pool"
    # Bindings of one partition or QOS give an account several awards: one is shown.
    known = _lately(("cluster", "account", *whose.split(", ")), series("opsd_account_info"))
    one = f"topk by (cluster, account) (1, {known})"
    unknown = f"{jobs} unless on (cluster, account) {known}"
    for label in whose.split(", "):
        unknown = f'label_replace({unknown}, "{label}", "unattributed", "", "")'
    return f"({jobs} * on (cluster, account) group_left ({whose}) {one}) or {unknown}"


def _lately(labels: tuple[str, ...], told: str) -> str:
    """What the daemon tells of a cluster, or told last within an hour: one that restarts unbinds nobody."""
    now, last = by("max", labels, told), by("max", labels, f"last_over_time({told}[1h])")
    return f"({now} or ({last} unless on (cluster) {now}))"


def _activity() -> str:
    """SMs that are busy; kernels that run where there is no GPM; a GPU in MIG mode: its busiest device."""
    mig = series("opsd_gpu_mig_sm_active_ratio")
    busiest = by("max", ("cluster", "node", "gpu", "parent"), mig)
    of_gpu = f'label_replace({busiest}, "uuid", "$1", "parent", "(.+)")'
    sources = (
        series("opsd_gpu_sm_active_ratio"), series("opsd_gpu_utilization_ratio"), mig, of_gpu,
    )  # fmt: skip
    return " or ".join(by("max", _GPU, it) for it in sources)


_LIVE = "opsd:device_activity:ratio"


def _held_while(condition: str, name: str, window: str) -> str:
    """The part of what a job holds that meets a condition, of jobs that have held it for the whole window.

    A job that holds several MIG devices of a GPU counts by how many of them meet it.
    """
    device = ("cluster", "node", "uuid", "parent", "jobid")
    holds = by("max", device, series(name))
    before = by("max", device, f"{series(name)} offset {window}")
    met = f"{holds} and {before} and {condition}"
    part = f"{_on_gpu(met)} / on (cluster, node, uuid, jobid) {_on_gpu(holds)}"
    return f"opsd:gpu_held:share * on (cluster, node, uuid, jobid) group_left () ({part})"


def _half_an_hour() -> str:
    """The mean of a GPU that tells now what it does, and told half an hour ago.

    Of one that hangs, or that an agent has just begun to see, a few old or new minutes would speak for all.
    """
    mean = by("max", _GPU, f"avg_over_time({_LIVE}[30m])")
    return f"{mean} and {_LIVE} and {_LIVE} offset 30m"


def _on_gpu(devices: str) -> str:
    """How many of them there are on each GPU, by job."""
    both = f'label_join({devices}, "parent", ";", "parent", "uuid")'
    gpu = f'label_replace({both}, "parent", "$1", "parent", ";?([^;]+).*")'  # a whole GPU has no parent
    counted = f"count by (cluster, node, parent, jobid) ({gpu})"
    moved = f'label_replace({counted}, "uuid", "$1", "parent", "(.+)")'
    return f"sum by (cluster, node, uuid, jobid) ({moved})"


def _idle() -> str:
    still = f"on (cluster, node, uuid) (opsd:device_activity:avg30m < {IDLE_BELOW})"
    return _held_while(still, "opsd_gpu_job_info", "30m")


def _unused() -> str:
    processes = f"max_over_time({series('opsd_gpu_job_processes')}[10m])"
    none = by("max", ("cluster", "node", "uuid", "parent", "jobid"), processes)
    return _held_while(f"({none} == 0)", "opsd_gpu_job_processes", "10m")


def _once(shares: str) -> str:
    """One GPU at most, also in minutes in which a job that is over is still seen beside its successor.

    That is so where no rule ran when it ended: in a backfill, or while Prometheus was down.
    """
    return f"{shares} / on (cluster, node, uuid) group_left () clamp_min({by('sum', _UUID, shares)}, 1)"


def _with(shares: str, reading: str, sign: str = "*") -> str:
    """What jobs hold, joined with a reading of the GPU."""
    return f"{shares} {sign} on (cluster, node, uuid) group_left () {by('max', _UUID, reading)}"


def _mean_activity(labels: tuple[str, ...]) -> str:
    """Of what is held, as far as it can be told."""
    worked = by("sum", labels, _with("opsd:gpu_held:share", _LIVE))
    seen = by("sum", labels, f"opsd:gpu_held:share and on (cluster, node, uuid) {_LIVE}")
    return f"{worked} / {seen}"


def _idle_of(labels: tuple[str, ...]) -> str:
    """Zero for those that hold GPUs of which it can be told, and let none lie idle."""
    seen = f"opsd:gpu_held:share and on (cluster, node, uuid) {_LIVE}"
    return f"{by('sum', labels, 'opsd:gpu_idle:share')} or 0 * {by('sum', labels, seen)}"


def _held_of_node() -> str:
    """Zero where the agent can tell and nobody holds anything; absent where it cannot."""
    asked = by("max", _NODE, series("opsd_gpu_job_unresolved"))
    return f"{by('sum', _NODE, _once('opsd:gpu_jobs:share'))} or 0 * {asked}"


def _idle_of_node() -> str:
    seen = f"opsd:node_gpus_held:sum and on (cluster, node) {by('count', _NODE, _LIVE)}"
    return f"{by('sum', _NODE, 'opsd:gpu_idle:share')} or 0 * ({seen})"


def _missing() -> str:
    """By Slurm's inventory; by the agent's flag where Slurm tells nothing, or counts MIG devices."""
    slurm = by("sum", _NODE, by("max", (*_NODE, "class"), series("opsd_slurm_node_gpus")))
    cut = f"{by('max', _NODE, series('opsd_gpu_mig_mode'))} == 1"
    expected = f"({slurm} unless {cut}) or {by('max', _NODE, series('opsd_gpu_devices_expected'))}"
    return f"clamp_min(({expected}) - {by('max', _NODE, series('opsd_gpu_devices_visible'))}, 0)"


def _state() -> str:
    """0 well, 1 no answer, 2 hung, 3 lost."""
    up, hung, lost = (by("max", _GPU, series(f"opsd_gpu_{it}")) for it in ("up", "hung", "lost"))
    return f"clamp_max(1 - {up} + {hung} + 2 * {lost}, 3)"


def _slowed() -> str:
    reasons = 'reason=~"' + "|".join(SLOWDOWNS) + '"'
    seconds = f"rate({series('opsd_gpu_clock_event_seconds_total', reasons)}[{_RATE}])"
    return f"clamp_max({by('max', (*_GPU, 'reason'), seconds)}, 1) > 0"


_HOLDERS = by("max", (*_UUID, "jobid", "account", "user"), f"0 * {series('opsd_gpu_job_info')}")
_HEAT = series("opsd_gpu_temperature_celsius", 'sensor="gpu"')
_ENERGY = f"rate({series('opsd_gpu_energy_joules_total')}[{_RATE}])"
# What is recorded of each node, and of each cluster alike: name, function, what of, words.
_SUMS = (
    ("gpu_power_watts", "sum", series("opsd_gpu_power_average_watts"), "What its GPUs draw."),
    ("gpu_energy_watts", "sum", _ENERGY, "The same by their counters of energy, over ten minutes."),
    ("gpu_memory_used_bytes", "sum", series("opsd_gpu_memory_used_bytes"), "GPU memory that processes hold."),
    ("gpu_memory_total_bytes", "sum", series("opsd_gpu_memory_total_bytes"), "GPU memory."),
    ("gpu_temperature_celsius", "max", _HEAT, "Its hottest GPU."),
)  # fmt: skip
_MEANS = (
    ("gpu_utilization", series("opsd_gpu_utilization_ratio"), "Mean utilisation of its GPUs."),
    ("gpu_sm_active", series("opsd_gpu_sm_active_ratio"), "Mean share of SMs that were busy."),
    ("gpu_tensor_active", series("opsd_gpu_tensor_active_ratio"), "Mean activity of tensor pipes."),
)  # fmt: skip
# With these a dashboard makes a mean over whichever nodes are chosen, without a join at each moment.
_PARTS = (("sum", "The same, added up."), ("count", "How many of its GPUs tell it."))
_COUNTS = (
    ("gpus", "count", "GPUs that drivers count."),
    ("gpus_held", "sum", "GPUs that jobs hold; absent where the agent cannot tell."),
    ("gpus_idle", "sum", "Of those, GPUs that did nothing for 30 minutes."),
    ("gpus_sick", "count", "GPUs that do not answer."),
    ("gpus_missing", "count", "GPUs that it should have, and that its driver does not count."),
)


def _nodes() -> tuple[Recorded, ...]:
    counted = (
        by("max", _NODE, series("opsd_gpu_devices_visible")), _held_of_node(), _idle_of_node(),
        by("sum", _NODE, "opsd:gpu_state:code > bool 0"), _missing(),
    )  # fmt: skip
    return (
        *(
            Recorded(f"opsd:node_{name}:{function}", _NODE, expr, words)
            for (name, function, words), expr in zip(_COUNTS, counted, strict=True)
        ),
        Recorded(
            "opsd:node_gpus_asked:count",
            _NODE,
            "opsd:node_gpus:count and on (cluster, node) opsd:node_gpus_held:sum",
            "Its GPUs, where the agent can tell who holds them.",
        ),
        *(
            Recorded(f"opsd:node_{name}:{of}", _NODE, by(of, _NODE, expr), text)
            for name, of, expr, text in _SUMS
        ),
        *(
            Recorded(f"opsd:node_{name}:{how}", _NODE, by(how, _NODE, expr), words)
            for name, expr, text in _MEANS
            for how, words in (("avg", text), *_PARTS)
        ),
    )


def _clusters() -> tuple[Recorded, ...]:
    """Sums are those of the nodes; means are over GPUs, not over nodes."""
    added = [(f"{name}:{how}", "sum", words) for name, how, words in _COUNTS]
    added += [(f"{name}:{how}", how, words) for name, how, _, words in _SUMS]
    return (
        *(
            Recorded(f"opsd:cluster_{name}", _CLUSTER, by(how, _CLUSTER, f"opsd:node_{name}"), words)
            for name, how, words in added
        ),
        *(
            Recorded(f"opsd:cluster_{name}:avg", _CLUSTER, by("avg", _CLUSTER, expr), words)
            for name, expr, words in _MEANS
        ),
    )


def _of_no_country() -> str:
    """A zero for each country that has accounts, and for nobody, where agents tell who holds what.

    So a line goes down to zero, and does not end: a stack of lines that end is too high until they do.
    """
    countries = by("max", _COUNTRY, series("opsd_account_info"))
    nobodys = f'label_replace({by("max", ("cluster",), countries)}, "country", "unattributed", "", "")'
    return f"0 * ({countries} or {nobodys}) and on (cluster) {series('opsd_gpu_job_unresolved')}"


RECORDED_OF_GPUS: tuple[Recorded, ...] = (
    # ---- each GPU and MIG device
    Recorded(
        "opsd:gpu_state:code", _GPU, _state(),
        "State of a GPU: 0 well, 1 no answer, 2 hung, 3 lost.",
    ),
    Recorded(
        _LIVE, _GPU, _activity(),
        "Busy SMs of a GPU or MIG device; utilisation where there is no GPM; of a GPU in MIG mode its "
        "busiest device.",
    ),
    Recorded(
        "opsd:device_activity:avg30m", _GPU, _half_an_hour(),
        "The same on average over 30 minutes; absent where it is not known now, or was not then.",
    ),
    Recorded(
        "opsd:gpu_slowed:ratio", (*_GPU, "reason"), _slowed(),
        "Part of the last ten minutes in which heat or supply held a GPU's clocks down; absent at none.",
    ),
    # ---- who holds it
    Recorded(
        "opsd:gpu_jobs:share", ("cluster", "node", "uuid", "jobid", "account", "user"), _jobs(),
        "The share of a GPU that each of its jobs holds; together one GPU at most.",
    ),
    Recorded(
        "opsd:gpu_held:share", _HELD, _of_project("opsd:gpu_jobs:share"),
        "The same, and whose the job is; an account that no award pays for is `unattributed`.",
    ),
    Recorded(
        "opsd:gpu_idle:share", _HELD, _idle(),
        "Of that, what did nothing: held for 30 minutes, with under 1 % of the SMs busy on average.",
    ),
    Recorded(
        "opsd:gpu_unused:share", _HELD, _unused(),
        "Of that, what no process of the job has used for 10 minutes.",
    ),
    # ---- nodes and clusters
    *_nodes(),
    *_clusters(),
    # ---- jobs
    Recorded("opsd:job_gpus:sum", _JOB, by("sum", _JOB, "opsd:gpu_jobs:share"), "GPUs that a job holds."),
    Recorded(
        "opsd:job_activity:avg", _JOB, by("avg", _JOB, _with(_HOLDERS, _LIVE, "+")),
        "Mean activity of the GPUs and MIG devices that a job holds.",
    ),
    Recorded(
        "opsd:job_power_watts:sum", _JOB,
        by("sum", _JOB, _with("opsd:gpu_jobs:share", series("opsd_gpu_power_average_watts"))),
        "What its GPUs draw; of a GPU that jobs share, by their shares.",
    ),
    Recorded(
        "opsd:job_memory_used_bytes:sum", ("cluster", "jobid"), by("sum", ("cluster", "jobid"), by(
            "max", ("cluster", "node", "uuid", "parent", "jobid"), series("opsd_gpu_job_memory_used_bytes"))),
        "GPU memory of its processes.",
    ),
    # ---- projects and countries
    Recorded(
        "opsd:gpus_held:sum", _PROJECT, by("sum", _PROJECT, _once("opsd:gpu_held:share")),
        "GPUs that the jobs of a project hold.",
    ),
    Recorded("opsd:project_gpus_idle:sum", _PROJECT, _idle_of(_PROJECT), "Of those, GPUs that did nothing."),
    Recorded("opsd:project_activity:avg", _PROJECT, _mean_activity(_PROJECT), "Mean activity of those GPUs."),
    Recorded(
        "opsd:project_idle_watts:sum", _PROJECT,
        by("sum", _PROJECT, _with("opsd:gpu_idle:share", series("opsd_gpu_power_average_watts"))),
        "What the GPUs draw that it holds and that do nothing.",
    ),
    Recorded(
        "opsd:project_power_watts:sum", _PROJECT,
        by("sum", _PROJECT, _with("opsd:gpu_held:share", series("opsd_gpu_power_average_watts"))),
        "What those GPUs draw.",
    ),
    Recorded(
        "opsd:country_gpus_held:sum", _COUNTRY,
        f"{by('sum', _COUNTRY, _once('opsd:gpu_held:share'))} or {_of_no_country()}",
        "GPUs held by jobs of projects that a country leads; 0 for a country whose projects hold none now.",
    ),
    Recorded("opsd:country_gpus_idle:sum", _COUNTRY, _idle_of(_COUNTRY), "Of those, GPUs that did nothing."),
    Recorded("opsd:country_activity:avg", _COUNTRY, _mean_activity(_COUNTRY), "Mean activity of those GPUs."),
)  # fmt: skip
