"""Backplanes, which connect nodes: the interface `Backplane`, `MemoryBackplane`, and `fanwire.backplane.nats.NATS`."""

from fanwire.backplane.base import Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.backplane.memory import MemoryBackplane, MemoryBus

__all__ = ["Backplane", "Listener", "Log", "LogState", "MemoryBackplane", "MemoryBus", "Stored", "Unavailable"]
