"""A simulated AI factory: master data as TOML and jobs as the text `sacct` would print.

Invariant: everything is a pure function of `until` and `seed`, and nothing here hands over records:
simulated jobs take the same way through the parser as real ones, so a demonstration proves the code
that a site runs.
"""
