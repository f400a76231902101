"""What runs by itself: the steps, when they run, the page they fill."""

from opsd.daemon.service import Daemon
from opsd.daemon.steps import STEPS, Step, named

__all__ = ["STEPS", "Daemon", "Step", "named"]
