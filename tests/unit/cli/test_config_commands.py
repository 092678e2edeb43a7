"""`fanwire config check`: its verdict and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.certificates import Authority
from helpers.commands import run

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "fanwire.toml"


def test_a_valid_file(config: Path) -> None:
    config.write_text(f'[server]\napi_keys = ["{KEY}"]\n[limits]\ngrace = 1\n')
    result = run("config", "check", str(config))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{config} is valid: 2 settings of the file, 0 of the environment\n"
    result = run("config", "check", env={"FANWIRE_CONFIG": str(config), "FANWIRE_LIMITS__GRACE": "2"})
    assert result.stdout == f"{config} is valid: 1 setting of the file, 1 of the environment\n"


def test_the_environment_alone() -> None:
    result = run("config", "check", env={"FANWIRE_SERVER__INSECURE": "1"})
    assert (result.exit_code, result.output) == (0, "the environment is valid: 1 setting; no file is given\n")


def test_that_no_client_may_connect_is_a_note(config: Path) -> None:
    config.write_text("[limits]\ngrace = 1\n")
    result = run("config", "check", str(config))
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "no client may connect, unless an option says who" in result.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[limits]\ngrace = -1", "limits.grace must be at least 0 seconds, got -1 ({}, line 2)"),
        ("[server]\norigins = ['x']", "server.origins must have the form 'https://example.com', without a path, "),
        ("[server]\nprefix = 'rt'", "server.prefix must be a path such as '/rt', got 'rt' ({}, line 2)"),
        ("[server]\nproxy_protocol = true", "server.proxy_protocol needs trusted_proxies: "),
        (
            "[server]\nhost = 'a'\nunix = 'b'",
            "server.host and unix name two places to listen at: ",
        ),
        ("[server]\ntls_key = 'k'", "TLS needs a certificate and its private key"),
        ("[jwt]\nkey = 'fanwire.toml'\nalgorithms = ['ES25']", "jwt.algorithms must be among "),
        ("[[rooms]]\npattern = 'a'\njoin = 'scop:x'", 'rooms[0].join must be true, false, "identified", '),
        (
            "[[rooms]]\npattern = 'a'\njoin = 'subject'",
            "rooms[0].join: the rule 'subject' needs a pattern with one `*`",
        ),
        ("[nats]\nservers = ['embedded', 'nats://a']", "'embedded' starts a NATS server: leave out the other servers"),
    ],
)
def test_wrong_settings_are_exit_code_2(config: Path, text: str, error: str) -> None:
    config.write_text(f"{text}\n")
    result = run("config", "check", str(config))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {error.format(config)}")


def test_the_server_says_the_same(config: Path) -> None:
    config.write_text("[server]\ninsecure = true\norigins = ['x']\n")
    told = run("config", "check", str(config)).stderr
    assert f"({config}, line 3)" in told
    assert run("serve", "--config", str(config)).stderr == told
    # An option in its place comes from no line.
    assert f"{config}" not in run("serve", "--config", str(config), "--origin", "y").stderr


def test_files_that_settings_name_are_read(config: Path, tmp_path: Path) -> None:
    chain, key = Authority(tmp_path).sign("a.example", "a.example")
    config.write_text(f'[server]\ninsecure = true\ntls_certificate = "{chain.name}"\ntls_key = "{key.name}"\n')
    assert run("config", "check", str(config)).exit_code == 0
    key.unlink()
    result = run("config", "check", str(config))
    assert result.exit_code == 1
    assert f"cannot read {key}, the TLS private key: No such file" in result.stderr
    config.write_text('[jwt]\nkey = "missing.pem"\nalgorithms = ["ES256"]\n')
    result = run("config", "check", str(config))
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: cannot read the file that jwt.key names: No such file or directory\n",
    )


def test_a_key_that_is_not_that_of_its_certificate(config: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (chain, _), (_, key) = authority.sign("a.example", "a.example"), authority.sign("b.example", "b.example")
    config.write_text(f'[server]\ninsecure = true\ntls_certificate = "{chain.name}"\ntls_key = "{key.name}"\n')
    result = run("config", "check", str(config))
    assert result.exit_code == 2
    assert f"the key in {key} does not belong to the certificate in {chain}" in result.stderr


def test_processors_that_this_machine_does_not_have(config: Path) -> None:
    config.write_text("[server]\ninsecure = true\n[limits]\nshards = 1\nshard_cores = '9999'\n")
    result = run("config", "check", str(config))
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "Error: limits.shard_cores names processors that this process may not use: 9999. It may use "
    )
    assert result.stderr.endswith(f"({config}, line 5)\n")


def test_threads_that_leave_no_processor_for_the_loop_are_a_note(config: Path) -> None:
    config.write_text("[server]\ninsecure = true\n[limits]\nshards = 64\nshard_spin = 0.001\n")
    result = run("config", "check", str(config))
    assert result.exit_code == 0
    assert "note: 64 writing threads with limits.shard_spin may take all" in result.stderr


def test_a_directory_that_no_recording_can_be_in(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config.write_text('[server]\ninsecure = true\n[recording]\nrooms = ["a"]\ndirectory = "file/sub"\n')
    result = run("config", "check", str(config))
    assert result.exit_code == 1
    directory = tmp_path / "file"
    assert result.stderr == f"Error: cannot record to {directory / 'sub'}: {directory} is not a directory\n"
    config.write_text('[server]\ninsecure = true\n[recording]\nrooms = ["a"]\ndirectory = "new/sub"\n')
    assert run("config", "check", str(config)).exit_code == 0
    assert not (tmp_path / "new").exists()


def test_a_rule_that_the_backplane_cannot_keep(config: Path) -> None:
    config.write_text(
        "[server]\ninsecure = true\n[nats]\nservers = ['nats://a']\n[[rooms]]\npattern = 'a'\nhistory = 5\ntick = 10\n"
    )
    result = run("config", "check", str(config))
    assert result.exit_code == 2
    assert "have a tick, and a history that the backplane stores" in result.stderr


def test_a_program_that_is_missing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[server]\ninsecure = true\n[nats]\nservers = ['embedded']\n")
    monkeypatch.setattr("shutil.which", lambda *args, **options: None)
    result = run("config", "check", str(config))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the program nats-server is not installed")
