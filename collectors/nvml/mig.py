"""The MIG devices of a GPU: who they are, what part of it, their memory and their activity.

Invariant: no handle of a MIG device outlives the collection, for it would keep the instance from being
destroyed; and what is kept from one to the next is kept by UUID, since numbers are given anew at once.

Source: NVIDIA's nvml.h. GPM is per GPU instance: where compute instances share one, each shows its activity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import UNSUPPORTED, Handle
from collectors.nvml.gpm import MIG_METRICS, Gpm, Means, Subject
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Reading, Slice

_MEMORY = {
    "total": Reading("mig_memory_total_bytes"),
    "used": Reading("mig_memory_used_bytes"),
    "free": Reading("mig_memory_free_bytes"),
    "reserved": Reading("mig_memory_reserved_bytes"),
}
MIG_READINGS = (*_MEMORY.values(), *(metric.reading for metric in MIG_METRICS))
_WHOLE = (nvml.NVML_GPU_INSTANCE_PROFILE_7_SLICE, nvml.NVML_GPU_INSTANCE_PROFILE_4_SLICE)
_SLICES = 7
_NO_SUCH_DEVICE = (nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument)
_NOTHING = Means({}, None)


class _Device(NamedTuple):
    """A MIG device of this collection."""

    handle: Handle
    uuid: str
    instance: int
    compute_instance: int


_Key = tuple[str, int, int]  # a MIG device without its handle


class _Shape(NamedTuple):
    """What does not change as long as a MIG device lives."""

    profile: str
    part: float | None


class Mig:
    """The MIG devices of one GPU, looked up anew in each collection, in the GPU's own thread."""

    def __init__(self, sieve: Sieve) -> None:
        """Touches no driver yet."""
        self._sieve = sieve
        self._has_mode = True
        self._shapes: dict[_Key, _Shape] = {}
        self._sms: int | None = None  # of the whole GPU; 0: it does not tell
        self._refused: set[Reading] = set()

    def is_on(self, handle: Handle) -> bool | None:
        """Whether the GPU is cut into instances now; None: it has no MIG.

        Raises:
            NVMLError: the GPU or the driver does not answer.
        """
        if not self._has_mode:
            return None
        try:
            now, _ = nvml.nvmlDeviceGetMigMode(handle)
        except UNSUPPORTED:
            self._has_mode = False
            return None
        return bool(now == nvml.NVML_DEVICE_MIG_ENABLE)

    def slices(self, handle: Handle, gpm: Gpm | None) -> tuple[Slice, ...]:
        """Every MIG device, by GPU instance and compute instance.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        devices = sorted(_devices(handle), key=lambda device: (device.instance, device.compute_instance))
        shapes = {_key(device): self._shape(handle, device) for device in devices}
        means = _activity(handle, devices, gpm)
        found = tuple(self._slice(device, shapes[_key(device)], means[device.instance]) for device in devices)
        self._shapes = shapes
        return found

    @property
    def refused(self) -> frozenset[str]:
        """Readings that the GPU's MIG devices do not give."""
        return frozenset(map(str, self._refused))

    def _slice(self, device: _Device, shape: _Shape, means: Means) -> Slice:
        return Slice(
            uuid=device.uuid,
            instance=device.instance,
            compute_instance=device.compute_instance,
            profile=shape.profile,
            part=shape.part,
            values={**self._memory(device.handle), **means.values},
            gpm_seconds=means.seconds,
        )

    def _memory(self, handle: Handle) -> dict[Reading, float]:
        if self._refused:
            return {}
        found: dict[Reading, float] = {}
        try:
            info = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
        except UNSUPPORTED:
            self._refused.update(_MEMORY.values())
        except _NO_SUCH_DEVICE:
            self._sieve.fail(_MEMORY.values())  # it was destroyed in between
        else:
            for part, reading in _MEMORY.items():
                self._sieve.keep(reading, getattr(info, part), found)
        return found

    def _shape(self, handle: Handle, device: _Device) -> _Shape:
        known = self._shapes.get(_key(device))
        if known is not None:
            return known
        try:
            attributes = nvml.nvmlDeviceGetAttributes_v2(device.handle)
        except (*UNSUPPORTED, *_NO_SUCH_DEVICE):
            return _Shape(_profile(device.handle), None)
        if self._sms is None:
            self._sms = _sms(handle)
        part = attributes.computeInstanceSliceCount / _SLICES
        if self._sms:
            part = attributes.multiprocessorCount / self._sms
        return _Shape(_profile(device.handle), part)


def _key(device: _Device) -> _Key:
    return device.uuid, device.instance, device.compute_instance


def _devices(handle: Handle) -> Iterator[_Device]:
    """The MIG devices that there are; their numbers may have gaps."""
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            device = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
            yield _Device(
                handle=device,
                uuid=str(nvml.nvmlDeviceGetUUID(device)),
                instance=int(nvml.nvmlDeviceGetGpuInstanceId(device)),
                compute_instance=int(nvml.nvmlDeviceGetComputeInstanceId(device)),
            )
        except _NO_SUCH_DEVICE:
            continue  # a gap, or it was destroyed in between


def _activity(handle: Handle, devices: Iterable[_Device], gpm: Gpm | None) -> dict[int, Means]:
    """By GPU instance. Its devices' UUIDs are its name: one made anew under its number is another."""
    found: dict[int, Means] = {}
    for instance, group in groupby(devices, key=lambda device: device.instance):
        name = " ".join(device.uuid for device in group)
        found[instance] = gpm.read(Subject(handle, name, instance)) if gpm else _NOTHING
    if gpm:
        gpm.keep_only(found)
    return found


def _profile(handle: Handle) -> str:
    """`1g.10gb`, from a name like `NVIDIA H100 80GB HBM3 MIG 1g.10gb`; empty where it has none."""
    try:
        name = str(nvml.nvmlDeviceGetName(handle))
    except (*UNSUPPORTED, *_NO_SUCH_DEVICE):
        return ""
    return name.rpartition(" MIG ")[2] if " MIG " in name else ""


def _sms(handle: Handle) -> int:
    """How many SMs the GPU has for MIG: those of the profile that takes all of it; 0: it does not tell."""
    for profile in _WHOLE:
        try:
            return int(nvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, profile).multiprocessorCount)
        except (*UNSUPPORTED, *_NO_SUCH_DEVICE):
            continue
    return 0
