"""The agent of a compute node, started as `opsd-node`: GPUs and the jobs that hold them, on one page.

Invariant: it never imports SQL; what is heavy is loaded by the verb that needs it.
"""

from opsd.node.agent import Agent
from opsd.node.command import main
from opsd.node.options import Options

__all__ = ["Agent", "Options", "main"]
