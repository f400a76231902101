"""Grafana dashboards and Prometheus rules as code.

Invariant: what is shown or alerted on is named in `exporters.catalogue`, or nothing is built.
"""
