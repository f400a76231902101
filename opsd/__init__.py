"""opsd: operations and accounting daemon of an AI-factory supercomputer."""

__version__ = "0.1.0"
