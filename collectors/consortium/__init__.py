"""The consortium file: TOML text to master data and back."""

from collectors.consortium.document import Document, read, read_document
from collectors.consortium.writer import write

__all__ = ["Document", "read", "read_document", "write"]
