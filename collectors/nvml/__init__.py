"""NVIDIA GPUs, read through NVML by the unmodified nvidia-ml-py.

Invariant: a driver call that does not return costs the GPU it was for, and nobody else.
"""
