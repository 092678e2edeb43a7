"""The metrics of a server for Prometheus (https://prometheus.io/docs/practices/naming/)."""

from fanwire.metrics.registry import Metrics

__all__ = ["Metrics"]
