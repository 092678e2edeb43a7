"""Rooms that are shared by several nodes over a backplane."""

from fanwire.cluster.cluster import Cluster

__all__ = ["Cluster"]
