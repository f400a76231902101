"""What all parts that call NVIDIA's driver share: a GPU's handle, and which errors mean what.

Invariant: an error that means "not here" is told from one that means "gone", and both from one that may pass.
"""

from __future__ import annotations

import pynvml as nvml  # type: ignore[import-untyped]

Handle = object  # what the driver calls a GPU

UNSUPPORTED = (
    nvml.NVMLError_NotSupported,
    nvml.NVMLError_FunctionNotFound,
    nvml.NVMLError_ArgumentVersionMismatch,
    nvml.NVMLError_NoPermission,
    nvml.NVMLLibraryMismatchError,  # no NVMLError, so `except NVMLError` lets it through
)
LOST = (nvml.NVMLError_GpuIsLost, nvml.NVMLError_GpuNotFound)
FATAL = (*LOST, nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded)
