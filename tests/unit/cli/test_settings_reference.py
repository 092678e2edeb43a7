"""The reference and the values in force are settings files, and the page has what the reference has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.commands import run
from helpers.settings_page import PAGE, tables, with_tables

from fanwire.cli.setting_check import check_values
from fanwire.cli.setting_key import TABLES, keys_of
from fanwire.cli.settings import JWTTable, NATSTable, RoomTable, ServerTable, Settings
from fanwire.cli.settings_layers import parse_settings, read_settings
from fanwire.cli.settings_reference import in_force, reference
from fanwire.cli.toml_document import parse_toml
from fanwire.config import Config


def test_the_reference_sets_nothing() -> None:
    assert parse_settings(reference().encode()) == Settings()


def test_the_reference_without_its_marks_has_every_key_with_its_default() -> None:
    text = re.sub(r"(?m)^#(?=[\w\[])", "", reference())
    values = parse_toml(text.encode()).values
    assert check_values(values) == []
    assert list(values) == list(TABLES)
    for table in TABLES:
        found = values[table][0] if table == "rooms" else values[table]
        assert list(found) == list(keys_of(table))
    assert values["limits"] == {name: getattr(Config(), name) for name in Config.__struct_fields__}
    assert all(f"{key.variable}. " in text for table in TABLES if table != "rooms" for key in keys_of(table).values())


def test_the_command_prints_it() -> None:
    result = run("config", "reference")
    assert (result.exit_code, result.output) == (0, reference())


SETTINGS = [
    Settings(),
    Settings(
        server=ServerTable(unix="/x", unix_mode=0o60, prefix='/a"\x7f\n', tls_others=[("a", "b")]),
        limits=Config(grace=1.5, dry_run=True, room_name=r"\w+"),
        jwt=JWTTable(key="k", algorithms=["ES256"]),
        nats=NATSTable(servers=["nats://a:1"]),
        rooms=[RoomTable(pattern="a"), RoomTable(pattern="b", join="identified")],
    ),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["defaults", "others"])
def test_the_values_in_force_are_a_settings_file(settings: Settings) -> None:
    assert parse_settings(in_force(settings, {}).encode()) == settings


def test_the_values_in_force_say_where_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "fanwire.toml"
    file.write_text('[server]\ninsecure = true\n[[rooms]]\npattern = "a"\n')
    result = run("config", "check", str(file), "--show", env={"FANWIRE_LIMITS__GRACE": "60"})
    assert result.exit_code == 0
    lines = [re.sub(r" +", " ", line) for line in result.stdout.splitlines()]
    assert f"insecure = true # {file}, line 2" in lines
    assert f'pattern = "a" # {file}, line 4' in lines
    assert "grace = 60.0 # FANWIRE_LIMITS__GRACE" in lines
    assert "ping_interval = 25.0 # default" in lines
    assert "# host is not set" in lines
    assert "# [jwt] is not set" in lines


def test_secrets_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "fanwire.toml"
    file.write_text(
        '[server]\napi_keys = ["hush-hush-hush-hush"]\n'
        '[nats]\nservers = ["nats://me:hush@a:1", "nats://hush@b:2", "nats://c:3", "hush@d"]\n'
    )
    result = run("config", "check", str(file), "--show")
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert 'servers = ["nats://***@a:1", "nats://***@b:2", "nats://c:3", "***@d"]' in result.output


def test_the_examples_of_the_page_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(parse_settings(example.encode()).rooms) == 1
    (told,) = re.findall(r"\$ fanwire config check fanwire.toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "fanwire.toml").write_text("[server]\nport = 70000\n\n[limits]\nmax_heads = 1\n")
    monkeypatch.chdir(tmp_path)
    assert run("config", "check", "fanwire.toml").stderr == told
    set_there = re.findall(r"\| `FANWIRE_(\w+__\w+|ROOMS)='?(.*?)'?` \|", page)
    assert len(set_there) == 5
    read_settings(None, {f"FANWIRE_{name}": value for name, value in set_there})


def test_the_page_has_the_tables_of_these_settings() -> None:
    page = PAGE.read_text()
    assert tables() in page, "run `make configuration`"
    assert with_tables(page) == page


def test_keys_of_the_admin_api_and_tokens_in_urls_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "fanwire.toml"
    file.write_text(
        '[admin]\nkeys = {hush-hush-hush-hush-1 = ["read"], hush-hush-hush-hush-2 = ["read", "publish"]}\n'
        '[nats]\nservers = ["nats://a:1?token=hush"]\n'
    )
    result = run("config", "check", str(file), "--show")
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert 'keys = {"***1" = ["read"], "***2" = ["read", "publish"]}' in result.stdout
    assert 'servers = ["nats://a:1?***"]' in result.stdout
