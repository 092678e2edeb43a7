"""What nodes meet over: `Backplane` is the interface, `MemoryBackplane` and `fanwire.backplane.nats.NATS` are such."""

from fanwire.backplane.base import Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.backplane.memory import MemoryBackplane, MemoryBus

__all__ = ["Backplane", "Listener", "Log", "LogState", "MemoryBackplane", "MemoryBus", "Stored", "Unavailable"]
