"""Settings from environment variables: every key has one, and no variable is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run

from fanwire.cli import backplane, workers
from fanwire.cli import serve as serving
from fanwire.cli.environment import OF_WORKERS, read_environment, read_secret
from fanwire.cli.failure import Misuse
from fanwire.cli.setting_key import TABLES, keys_of
from fanwire.cli.settings import RoomTable, Settings
from fanwire.cli.settings_layers import only_of_program, read_settings
from fanwire.config import Config


def env(**variables: str) -> Settings:
    return read_settings(None, {f"FANWIRE_{name}": text for name, text in variables.items()}).settings


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SERVER__HOST", "::1", "::1"),
        ("SERVER__PORT", "9000", 9000),
        ("SERVER__UNIX_MODE", "0o660", 0o660),
        ("SERVER__FD", "3", 3),
        ("SERVER__FD", "systemd", "systemd"),
        ("SERVER__ORIGINS", "https://a.example, https://b.example", ["https://a.example", "https://b.example"]),
        ("SERVER__ORIGINS", '["https://a.example"]', ["https://a.example"]),
        ("SERVER__INSECURE", "true", True),
        ("SERVER__INSECURE", "1", True),
        ("SERVER__INSECURE", "Yes", True),
        ("SERVER__INSECURE", "off", False),
        ("SERVER__API_KEYS", "a,b", ["a", "b"]),
        ("API_KEY", "a b", ["a", "b"]),
        ("SERVER__TLS_OTHERS", '[["a.pem", "a.key"]]', [("a.pem", "a.key")]),
        ("SERVER__LOG_LEVEL", "debug", "debug"),
        ("LIMITS__GRACE", "60", 60.0),
        ("LIMITS__MAX_CONNECTIONS", "10_000", 10_000),
        ("LIMITS__DRY_RUN", "true", True),
        ("LIMITS__ROOM_NAME", "1", "1"),
    ],
)
def test_a_variable_sets_its_key(variable: str, text: str, value: Any) -> None:
    settings = env(**{variable: text})
    table, name = variable.lower().split("__") if "__" in variable else ("server", "api_keys")
    assert getattr(getattr(settings, table), name) == value


def test_tables_that_need_keys() -> None:
    settings = env(JWT__KEY="key.pem", JWT__ALGORITHMS="ES256,RS256", NATS__SERVERS="nats://a:4222")
    assert settings.jwt is not None
    assert (settings.jwt.key, settings.jwt.algorithms) == ("key.pem", ["ES256", "RS256"])
    assert settings.nats is not None
    assert (settings.nats.servers, settings.nats.store) == (["nats://a:4222"], "fanwire-data")


def test_rooms_are_one_variable() -> None:
    assert env(ROOMS='[{pattern = "a.*", delivery = "latest"},\n {pattern = "b"}]').rooms == [
        RoomTable(pattern="a.*", delivery="latest"),
        RoomTable(pattern="b"),
    ]


def test_every_key_of_config_has_a_variable() -> None:
    fields = set(Config.__struct_fields__)
    assert {key.variable for key in keys_of("limits").values()} == {
        f"FANWIRE_LIMITS__{name.upper()}" for name in fields
    }
    names = [key.variable for table in TABLES for key in keys_of(table).values()]
    assert len(names) == len(set(names))
    # Else the file of one could be meant by the variable of the other.
    assert not any(name.endswith("_FILE") for name in names)


@pytest.mark.parametrize(
    ("variable", "text", "error"),
    [
        ("SERVER__PORT", "x", 'server.port must be a whole number, got "x" (FANWIRE_SERVER__PORT)'),
        ("SERVER__PORT", "70000", "server.port must be from 0 to 65535, got 70000 (FANWIRE_SERVER__PORT)"),
        ("SERVER__UNIX_MODE", "660", "server.unix_mode must be from 0 to 0o777, written in octal"),
        ("SERVER__INSECURE", "maybe", 'server.insecure must be true or false, got "maybe" (FANWIRE_SERVER__INSECURE)'),
        ("LIMITS__GRACE", "-1", "limits.grace must be at least 0 seconds, got -1 (FANWIRE_LIMITS__GRACE)"),
        ("LIMITS__GRACE", "30s", 'limits.grace must be a number of seconds, got "30s" (FANWIRE_LIMITS__GRACE)'),
        ("LIMITS__ROOM_NAME", "[", "limits.room_name must be a regular expression"),
        ("JWT__KEY", "key.pem", 'such as "ES256" (FANWIRE_JWT__KEY)'),
        ("ROOMS", "[{}]", "rooms[0].pattern is missing"),
        ("ROOMS", "[{", "FANWIRE_ROOMS must be a value as in the settings file"),
        ("SERVER__ORIGINS", "[https://a]", "FANWIRE_SERVER__ORIGINS must be a value as in the settings file"),
        (
            "PORT",
            "8000",
            "there is no setting for the environment variable FANWIRE_PORT: did you mean FANWIRE_SERVER__PORT?",
        ),
        ("GRACE", "1", "FANWIRE_GRACE: did you mean FANWIRE_LIMITS__GRACE?"),
        ("LIMITS_GRACE", "1", "FANWIRE_LIMITS_GRACE: did you mean FANWIRE_LIMITS__GRACE?"),
        ("LIMITS__GRAC", "1", "FANWIRE_LIMITS__GRAC: did you mean FANWIRE_LIMITS__GRACE?"),
        ("APIKEY", "1", "FANWIRE_APIKEY: did you mean FANWIRE_API_KEY?"),
        ("WORKER", "2", "FANWIRE_WORKER: did you mean FANWIRE_WORKERS?"),
        ("SERVER__API_KEY_FILE", "f", "FANWIRE_SERVER__API_KEY_FILE: did you mean FANWIRE_SERVER__API_KEYS"),
        ("XYZZY", "1", "FANWIRE_XYZZY: docs/configuration.md lists all variables"),
        (
            "SERVER__API_KEYS_FILE",
            "/nothing",
            "S_FILE: cannot read the file that it names: No such file",
        ),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, error: str) -> None:
    result = run("serve", env={f"FANWIRE_{variable}": text})
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert error in line


def test_an_empty_variable_is_not_set() -> None:
    assert env(SERVER__HOST="", LIMITS__GRACE="", XYZZY="") == Settings()


def test_two_variables_for_one_setting_are_refused() -> None:
    with pytest.raises(Misuse, match="FANWIRE_API_KEY and FANWIRE_SERVER__API_KEYS set the same: keep one of them"):
        env(API_KEY="a", SERVER__API_KEYS="b")
    with pytest.raises(Misuse, match="set the same"):
        env(SERVER__HOST="a", SERVER__HOST_FILE="b")


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    keys, url = tmp_path / "keys", tmp_path / "url"
    keys.write_text("one\ntwo\n")
    url.write_text("nats://me:secret@10.0.0.1\n")
    settings = env(SERVER__API_KEYS_FILE=str(keys), NATS__SERVERS_FILE=str(url))
    assert settings.server.api_keys == ["one", "two"]
    assert settings.nats is not None
    assert settings.nats.servers == ["nats://me:secret@10.0.0.1"]
    assert env(API_KEY_FILE=str(keys)).server.api_keys == ["one", "two"]


def test_a_file_that_is_no_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 70_000)
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        read_secret(str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_secret(str(file))


def test_kubernetes_may_have_a_service_with_this_name() -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"]
    assert env(**dict.fromkeys(names, "10.0.0.1"), PORT="tcp://10.0.0.1:8000") == Settings()


def test_the_variables_of_workers_are_no_settings() -> None:
    ours = {value for name, value in vars(workers).items() if name.endswith("_VARIABLE")} | {backplane.URL_VARIABLE}
    assert ours == OF_WORKERS
    assert read_environment(dict.fromkeys(ours, "1")).problems == []


# Precedence.


def test_options_win_over_the_environment_and_that_over_the_file(settings: list[Settings], file: Path) -> None:
    variables = {"FANWIRE_SERVER__PORT": "1", "FANWIRE_SERVER__LOG_LEVEL": "debug", "FANWIRE_CONFIG": str(file)}
    assert run("serve", "--port", "2", env=variables).exit_code == 0
    (read,) = settings
    assert (read.server.port, read.server.log_level, read.server.host) == (2, "debug", "0.0.0.0")
    assert read.limits.grace == 30.0


def test_the_number_of_workers_and_its_errors(settings: list[Settings]) -> None:
    assert run("serve", env={"FANWIRE_WORKERS": "2"}).exit_code == 0
    result = run("serve", env={"FANWIRE_WORKERS": "many"})
    assert (result.exit_code, "FANWIRE_WORKERS" in result.stderr) == (2, True)


def test_a_place_of_the_environment_replaces_another_kind_of_place(tmp_path: Path) -> None:
    file = tmp_path / "fanwire.toml"
    file.write_text('[server]\nunix = "a.sock"\nunix_mode = 0o660\n')
    found = read_settings(str(file), {"FANWIRE_SERVER__PORT": "1"})
    assert (found.settings.server.unix, found.settings.server.unix_mode, found.settings.server.port) == (None, None, 1)
    assert found.origins == {("server", "port"): "FANWIRE_SERVER__PORT"}


def test_rooms_of_the_environment_replace_those_of_the_file(file: Path) -> None:
    found = read_settings(str(file), {"FANWIRE_ROOMS": '[{pattern = "x"}]'})
    assert [room.pattern for room in found.settings.rooms] == ["x"]
    assert found.origins["rooms", 0, "pattern"] == "FANWIRE_ROOMS"


def test_paths_of_the_environment_are_not_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fanwire.toml"
    file.write_text('[server]\ntls_certificate = "a.pem"\n')
    server = read_settings(str(file), {"FANWIRE_SERVER__TLS_KEY": "a.key"}).settings.server
    assert (server.tls_certificate, server.tls_key) == (str(tmp_path / "a.pem"), "a.key")


# The server of a program.


@pytest.mark.parametrize(
    ("options", "env", "where", "log_level"),
    [
        ([], {}, {}, None),
        (["--port", "1"], {}, {"port": 1}, None),
        ([], {"PORT": "1", "LOG_LEVEL": "info"}, {"port": 1}, "info"),
        (["--port", "2"], {"PORT": "1", "HOST": "::"}, {"port": 2, "host": "::"}, None),
        (["--port", "2", "--log-level", "debug"], {"UNIX": "x", "LOG_LEVEL": "info"}, {"port": 2}, "debug"),
        (["--unix", "y"], {"FD": "systemd"}, {"unix": "y"}, None),
    ],
)
def test_options_win_over_the_environment_for_a_program(
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    env: dict[str, str],
    where: dict[str, Any],
    log_level: str | None,
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(serving, "run_program", lambda *args: seen.append(args))
    variables = {f"FANWIRE_SERVER__{name}": text for name, text in env.items()}
    assert run("serve", "app:server", *options, env={**variables, "FANWIRE_WORKERS": "2"}).exit_code == 0
    assert seen == [("app:server", where, None, 2, 60.0, log_level, None)]


def test_what_counts_for_a_program() -> None:
    variables = {
        "FANWIRE_SERVER__PORT": "1",
        "FANWIRE_NATS__PREFIX": "ours",
        "FANWIRE_API_KEY": "k",
        "FANWIRE_OWN": "1",
    }
    assert only_of_program(variables) == {"server": {"port": 1}, "nats": {"prefix": "ours"}}


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("FANWIRE_LIMITS__GRACE", "FANWIRE_LIMITS__GRACE cannot be used with a program"),
        ("FANWIRE_CONFIG", "FANWIRE_CONFIG cannot be used with a program"),
        ("FANWIRE_SERVER__ORIGINS", "FANWIRE_SERVER__ORIGINS cannot be used with a program"),
        ("FANWIRE_SERVER__PROT", "did you mean FANWIRE_SERVER__PORT"),
        ("FANWIRE_SERVER__PORT", "server.port must be a whole number"),
    ],
)
def test_what_does_not_count_for_a_program_is_refused(variable: str, error: str) -> None:
    with pytest.raises(Misuse, match=error):
        only_of_program({variable: "x"})


@pytest.mark.parametrize("name", ["SERVER__API_KEYS_FILE", "NATS__SERVERS_FILE", "ROOMS_FILE", "SERVER__PORT_FILE"])
def test_a_secret_in_place_of_the_name_of_its_file_is_not_told(name: str) -> None:
    (problem,) = read_environment({f"FANWIRE_{name}": "/s3cret"}).problems
    assert problem == f"FANWIRE_{name}: cannot read the file that it names: No such file or directory"
