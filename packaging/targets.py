"""The wheels of a release: for which machines, with which tags, and what each may need of its system. Plain data.

One wheel serves every CPython from 3.10 on (abi3, the stable ABI). A free-threaded CPython has no stable ABI before
3.15; it builds the sdist.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LIMITED_API", "TARGETS", "Target"]

LIMITED_API = "cp310-abi3"
"""The oldest CPython, and the stable ABI: `abi3-py310` in Cargo.toml."""


class Target(NamedTuple):
    """One wheel.

    Attributes:
        triple: as Rust names the machine.
        platform: the tag without the machine, as maturin's `--compatibility` takes it.
        machine: as the tag and `platform.machine()` have it.
        elf: the machine in the header of the library.
        libraries: what the library may load. Everything else is linked into it.
    """

    triple: str
    platform: str
    machine: str
    elf: str
    libraries: frozenset[str]

    @property
    def tag(self) -> str:
        """The end of the wheel's name."""
        return f"{LIMITED_API}-{self.platform}_{self.machine}"

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The newest glibc whose symbols the library may use; None: musl, which has no versions."""
        name, major, minor = self.platform.split("_")
        return (int(major), int(minor)) if name == "manylinux" else None


# libgcc_s unwinds the stack after a panic; manylinux promises it. With musl the unwinder is linked in.
GLIBC = frozenset({"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "libgcc_s.so.1", "librt.so.1"})
MUSL = frozenset({"libc.so"})

TARGETS = (
    Target("x86_64-unknown-linux-gnu", "manylinux_2_28", "x86_64", "EM_X86_64", GLIBC | {"ld-linux-x86-64.so.2"}),
    Target("aarch64-unknown-linux-gnu", "manylinux_2_28", "aarch64", "EM_AARCH64", GLIBC | {"ld-linux-aarch64.so.1"}),
    Target("x86_64-unknown-linux-musl", "musllinux_1_2", "x86_64", "EM_X86_64", MUSL),
    Target("aarch64-unknown-linux-musl", "musllinux_1_2", "aarch64", "EM_AARCH64", MUSL),
)
