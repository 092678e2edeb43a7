"""The files of ops/ for containers, Kubernetes and systemd: linters have no complaint, and numbers fit Fanwire's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml
from click.testing import CliRunner
from helpers.wait import PROCESS

import fanwire
from fanwire.cli import main
from fanwire.cli.serve import build_server
from fanwire.cli.settings import Settings
from fanwire.cli.settings_layers import parse_settings
from fanwire.http.routes import _PATHS

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
DOCKERFILE = (OPS / "docker" / "Dockerfile").read_text()
LOCK = (OPS / "docker" / "requirements.txt").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((OPS / "docker" / "compose.yml").read_text())
OBJECTS: list[dict[str, Any]] = [
    yaml.safe_load((OPS / "kubernetes" / name).read_text())
    for name in ("deployment.yaml", "service.yaml", "disruption.yaml")
]
POD: dict[str, Any] = OBJECTS[0]["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]
CONFIG = fanwire.Config()
OLDEST_KUBERNETES = "1.32"
"""The version that ops/kubernetes/kustomization.yaml names."""


def settings(path: Path) -> Settings:
    """A file of settings, of which a server can be made with a key."""
    found = parse_settings(path.read_bytes())
    build_server(msgspec.structs.replace(found, server=msgspec.structs.replace(found.server, api_keys=["key"])))
    return found


def exit_code(*arguments: str) -> int:
    return CliRunner().invoke(main, arguments).exit_code


# Docker.


def test_the_dockerfile_has_no_complaint() -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), "--no-color", str(OPS / "docker" / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROCESS)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_is_not_root_and_runs_what_there_is() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert user
    assert int(user[1]) > 0
    health = re.search(r'CMD \["fanwire", "(.*)"\]$', final, re.MULTILINE)
    assert health
    # No server is there, and its options are right.
    assert exit_code(*health[1].split('", "'), "--url", "http://127.0.0.1:1") == 1
    command = re.search(r'^CMD \["(.*)"\]$', final, re.MULTILINE)
    assert command
    result = CliRunner().invoke(main, command[1].replace("/etc/", "/no/such/").split('", "'))
    assert "/no/such/fanwire/fanwire.toml" in result.output


def test_the_lock_file_has_what_is_needed_with_checksums() -> None:
    wanted = set(re.findall(r'^    "([\w-]+)[\[><=].*",$', section("dependencies"), re.MULTILINE)) - {
        "async-timeout",  # For 3.10 alone,
        "tomli",  # as this.
    }
    assert len(wanted) > 10
    # Containers' logs are collected by programs: `--log-format json`.
    extra = re.search(r'^logs = \["([\w-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert extra
    wanted.add(extra[1])
    locked = re.findall(r"^([\w-]+)==[\w.]+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.MULTILINE)
    assert wanted <= {name for name, _ in locked}
    # Nothing stands there but packages with their checksums: no address, no package without one.
    assert len("".join(f"{name}{sums}" for name, sums in locked)) == len(
        re.sub(r"^#.*\n|==[\w.]+ \\\n", "", LOCK, flags=re.MULTILINE)
    )
    assert re.search(r"^ARG PYTHON=3\.13$", DOCKERFILE, re.MULTILINE)
    assert "CPython 3.13" in LOCK.splitlines()[0]


def section(name: str) -> str:
    """A list of pyproject.toml."""
    return (ROOT / "pyproject.toml").read_text().partition(f"\n{name} = [\n")[2].partition("\n]\n")[0]


def test_compose_drains_and_has_descriptors_and_no_rights() -> None:
    service = COMPOSE["services"]["fanwire"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= CONFIG.drain_timeout + 5
    assert service["ulimits"]["nofile"] >= CONFIG.max_connections + 2000
    assert service["sysctls"]["net.core.somaxconn"] == CONFIG.backlog
    for each in COMPOSE["services"].values():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
    # NATS is reached by Fanwire alone.
    assert COMPOSE["services"]["nats"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"]
    assert (OPS / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).resolve().exists()
    settings(OPS / "docker" / "fanwire.toml")
    for volume in service["volumes"]:
        assert (OPS / "docker" / volume.split(":")[0]).exists()


# Kubernetes.


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("given", OBJECTS, ids=lambda given: str(given["kind"]))
def test_objects_fit_the_schema_of_kubernetes(given: dict[str, Any], version: str) -> None:
    # The Deployment has no selector of its own: kustomize adds it to it and to its pods.
    labels = {"app.kubernetes.io/name": "fanwire"}
    if given["kind"] == "Deployment":
        template = {**given["spec"]["template"], "metadata": {"labels": labels}}
        given = {**given, "spec": {**given["spec"], "selector": {"matchLabels": labels}, "template": template}}
    kubernetes_validate.validate(given, version, strict=True)


def test_the_schema_would_find_a_mistake() -> None:
    wrong = {**OBJECTS[1], "spec": {"ports": [{"name": "http", "prot": 80}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST_KUBERNETES, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_selects_the_same_pods_everywhere() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(OPS / "kubernetes")], capture_output=True, text=True, check=True, timeout=PROCESS
    )
    built = {item["kind"]: item for item in yaml.safe_load_all(done.stdout)}
    assert set(built) == {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}
    labels = built["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "fanwire"}
    assert built["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert built["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert built["Service"]["spec"]["selector"] == labels
    (volume,) = built["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == built["ConfigMap"]["metadata"]["name"]
    for item in built.values():
        kubernetes_validate.validate(item, OLDEST_KUBERNETES, strict=True)


def test_pods_have_the_time_to_drain() -> None:
    found = settings(OPS / "kubernetes" / "settings.toml")
    wait = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = CONTAINER["readinessProbe"]
    assert POD["terminationGracePeriodSeconds"] >= wait + found.limits.drain_timeout + 5
    assert found.limits.drain_spread < found.limits.drain_timeout
    # A pod that is full is out of the Service before it would be ended by the liveness probe.
    liveness = CONTAINER["livenessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < (
        liveness["periodSeconds"] * liveness["failureThreshold"]
    )


def test_pods_are_asked_at_paths_and_run_a_command_that_there_are() -> None:
    paths = {CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"/healthz", "/readyz"}
    assert all(_PATHS.fullmatch(path) for path in paths)
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == fanwire.Server(insecure=True).port
    result = CliRunner().invoke(main, [arg.replace("/etc/", "/no/such/") for arg in CONTAINER["args"]])
    assert "/no/such/fanwire/fanwire.toml" in result.output
    (mount,) = CONTAINER["volumeMounts"]
    assert f"--config={mount['mountPath']}/fanwire.toml" in CONTAINER["args"]


def test_pods_have_no_rights() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    assert f"USER {POD['securityContext']['runAsUser']}:" in DOCKERFILE
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_memory_is_enough_for_the_limits() -> None:
    # One connection takes 4 KB.
    least = CONFIG.engine_bytes + CONFIG.history_bytes + CONFIG.inbound_bytes + CONFIG.max_connections * 4096
    assert int(CONTAINER["resources"]["limits"]["memory"].removesuffix("Gi")) << 30 > 1.5 * least


# systemd.


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_units_have_no_complaint(tmp_path: Path) -> None:
    shutil.copytree(OPS / "systemd", tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "fanwire.service", tmp_path / "fanwire.service.d" / "socket.conf"):
        text = path.read_text()
        assert "ExecStart=/opt/fanwire/bin/fanwire " in text
        path.write_text(text.replace("/opt/fanwire/bin/fanwire", str(Path(sys.executable).parent / "fanwire")))
    units = [str(tmp_path / name) for name in ("fanwire.service", "fanwire.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False, timeout=PROCESS
    )
    # Other units of the machine are looked at as well.
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "fanwire" in line]
    assert (done.returncode, complaints) == (0, [])
