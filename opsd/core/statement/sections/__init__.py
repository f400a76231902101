"""The sections of a statement: one file each, `section(view)`, and one row in `opsd.core.statement.build`."""
