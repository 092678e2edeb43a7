"""Many nodes, one room: what a node does with a backplane."""

from fanwire.cluster.cluster import Cluster

__all__ = ["Cluster"]
