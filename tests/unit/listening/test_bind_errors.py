"""Why a server cannot listen: the address, the system's words, and what to do."""

from __future__ import annotations

import errno
import socket

import pytest

from fanwire.listening.bind_errors import cannot_listen


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.EADDRINUSE, "Address already in use"), OSError, "Address already in use. Stop it"),
        (PermissionError(errno.EACCES, "Permission denied"), PermissionError, "Permission denied"),
        # The system's words, where there are none.
        (OSError(errno.EACCES, ""), PermissionError, "Permission denied"),
        (FileExistsError(errno.EEXIST, "a file is there"), FileExistsError, "a file is there"),
    ],
)
def test_the_address_and_what_to_do(error: OSError, kind: type[OSError], said: str) -> None:
    with pytest.raises(kind) as failed, cannot_listen("127.0.0.1:80", {errno.EADDRINUSE: "Stop it"}):
        raise error
    assert failed.value.errno == error.errno
    assert failed.value.strerror == f"cannot listen at 127.0.0.1:80: {said}"
    assert failed.value.__cause__ is error


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="no address"), cannot_listen("x", {}):
        raise ValueError("no address")
    with cannot_listen("x", {}), socket.socket():
        pass
