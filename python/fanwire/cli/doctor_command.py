"""`fanwire doctor`: runs the probes, hands their values to the checks, and prints what they find."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
import stat
import sysconfig
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from fanwire.backplane.access import Access
from fanwire.cli.address import server_url
from fanwire.cli.config_commands import check_settings, summary
from fanwire.cli.connecting import trusting
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.option_values import check_key
from fanwire.cli.settings import EMBEDDED, NATSTable, Settings
from fanwire.cli.settings_layers import read_settings
from fanwire.doctor.certificates import check_authorities, check_certificate, damage
from fanwire.doctor.clock import check_clock, is_clock_synchronized
from fanwire.doctor.finding import Finding, count, ok, problem, warning
from fanwire.doctor.nats import check_embedded, check_nats, no_nats, read_nats
from fanwire.doctor.runtime import check_runtime, read_runtime
from fanwire.doctor.system_checks import check_system
from fanwire.doctor.system_readings import read_system
from fanwire.doctor.url_checks import check_trusted, check_url
from fanwire.doctor.url_probe import read_url
from fanwire.tls.files import read_file

__all__ = ["doctor"]


@click.command()
@click.argument("url", required=False)
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    envvar="FANWIRE_CONFIG",
    show_envvar=True,
    help="Settings file of the server. Its limits are compared with those of this machine.",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), default=1, envvar="FANWIRE_WORKERS", help="Processes of the server."
)
@click.option("--api-key", callback=check_key, help="API key or token for the server at URL.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the certificates (PEM) to trust, in place of those of the system.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the findings as JSON.")
def doctor(
    url: str | None, config: str | None, workers: int, api_key: str | None, ca: str | None, is_json: bool
) -> None:
    """Checks this machine, the settings of a server, and the server at URL, and says what is wrong and what to do.

    Of this machine: open files, queues and ports of the kernel, memory, processors, the clock, the installed program.
    Of the settings, from --config and the environment: each value, the certificates and their keys, NATS. Of the server
    at URL: whether it answers, its certificate, its clock, each transport, and signs of a proxy.

    Nothing is changed. A check ends after some seconds. The exit code is 1 if there is a problem, and 0 if there are
    only warnings: a warning limits the server under load, or soon.
    """
    address = None if url is None else server_url(url)
    context = None if address is None else trusting(ca, address)
    if url is None and (ca or api_key):
        raise Misuse("--api-key and --ca are for the server at URL: give its URL, too")
    findings = asyncio.run(examine(address, config, workers, api_key, context))
    click.echo(as_json(findings) if is_json else as_text(findings))
    if count(findings, "problem"):
        raise SystemExit(1)


async def examine(
    url: str | None, config: str | None, workers: int, api_key: str | None, context: ssl.SSLContext | None
) -> list[Finding]:
    """Runs all checks."""
    settings, findings = check_file(config)
    table = settings.server
    findings += check_trusted(table.trusted_proxies)
    if workers > 1 and settings.nats is None:
        findings.append(problem("workers", f"{workers} without NATS", MANY, "Set nats.servers, or use one worker."))
    port = None if table.unix is not None or table.fd is not None else table.port or PORT
    has_tls = table.tls_certificate is not None
    asked = await asyncio.gather(
        nats_findings(settings.nats, settings.limits.max_message),
        url_findings(url, api_key, context, None if config is None else settings),
    )
    return [
        *check_runtime(read_runtime()),
        *check_system(read_system(), settings.limits, port=port, has_tls=has_tls, workers=workers),
        check_clock(is_clock_synchronized(), time.time()),
        *findings,
        *certificate_findings(settings, time.time()),
        *asked[0],
        *asked[1],
    ]


def check_file(config: str | None) -> tuple[Settings, list[Finding]]:
    """The settings of the file and the environment, and findings about them; the defaults if they are wrong."""
    name = "settings"
    why = "`fanwire serve` does not start with a setting that is wrong."
    advice = "Correct it; `fanwire config reference` prints all settings."
    try:
        loaded = read_settings(config, os.environ)
    except Misuse as error:
        return Settings(), [problem(name, line, why, advice) for line in error.message.splitlines()]
    try:
        notes = check_settings(loaded, reads_files=False)
    except CommandFailed as error:
        return loaded.settings, [problem(name, error.message, why, advice)]
    findings = [ok(name, summary(config, loaded), why)]
    if config is not None:
        findings += [warning(name, note, "Clients are refused with 401.", "Set api_keys or [jwt].") for note in notes]
    return loaded.settings, findings


def certificate_findings(settings: Settings, now: float) -> list[Finding]:
    """Findings about all certificates of the settings: those of the server, and that for NATS servers."""
    table, nats = settings.server, settings.nats
    pairs = [] if table.tls_certificate is None else [(table.tls_certificate, table.tls_key), *table.tls_others]
    pairs += [] if nats is None or nats.certificate is None else [(nats.certificate, nats.key)]
    findings = [] if table.tls_client_ca is None else [authority_finding(table.tls_client_ca, now)]
    trusted = authorities() if pairs else frozenset()
    for place, (chain, key) in enumerate(pairs):
        if key is None:
            # The settings' own check says so.
            continue
        try:
            contents = [read_file(Path(chain), "certificate"), read_file(Path(key), "private key")]
        except (OSError, ValueError) as error:
            findings.append(unreadable(f"certificate {chain}", error))
            continue
        findings += check_certificate(
            chain,
            *contents,
            now=now,
            trusted=trusted,
            # Other certificates are for some of the names.
            hosts=(table.hosts or []) if place == 0 and table.tls_certificate and not table.tls_others else [],
            is_key_open=bool(stat.S_IMODE(Path(key).stat().st_mode) & stat.S_IROTH),
        )
    return findings


def authority_finding(file: str, now: float) -> Finding:
    """The finding about the authorities of clients."""
    try:
        return check_authorities(file, read_file(Path(file), "authorities of clients"), now=now)
    except (OSError, ValueError) as error:
        return unreadable(f"authorities {file}", error)


def unreadable(check: str, error: OSError | ValueError) -> Finding:
    """A file that cannot be read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    why = "A server with TLS reads these files when it starts, and does not start without them."
    return problem(check, reason, why, "Correct the path in the settings, and let the server's user read the file.")


def authorities() -> frozenset[bytes]:
    """The subjects (DER) of the authorities that this system trusts."""
    from cryptography import x509

    found = set()
    with warnings.catch_warnings():
        # Some old authorities do not keep all rules, which is not what is looked for.
        warnings.simplefilter("ignore")
        for certificate in ssl.create_default_context().get_ca_certs(binary_form=True):
            with contextlib.suppress(*damage()):
                found.add(x509.load_der_x509_certificate(certificate).subject.public_bytes())
    return frozenset(found)


async def nats_findings(table: NATSTable | None, max_message: int) -> list[Finding]:
    """Findings about the NATS servers of the settings."""
    if table is None:
        return [no_nats()]
    if EMBEDDED in table.servers:
        beside = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
        return [check_embedded(beside or shutil.which("nats-server"))]
    certificate = (table.certificate, table.key) if table.certificate and table.key else None
    access = Access(table.servers, table.credentials, table.ca, certificate)
    return check_nats(await read_nats(access), max_message=max_message)


async def url_findings(
    url: str | None, api_key: str | None, context: ssl.SSLContext | None, settings: Settings | None
) -> list[Finding]:
    """Findings about the server at a URL; none without one."""
    if url is None:
        return []
    found = await read_url(url, token=api_key, context=context)
    return check_url(
        found,
        config=None if settings is None else settings.limits,
        trusted_proxies=() if settings is None else settings.server.trusted_proxies,
        has_key=api_key is not None,
    )


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for programs."""
    document = {"problems": count(findings, "problem"), "warnings": count(findings, "warning"), "findings": findings}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def as_text(findings: Sequence[Finding]) -> str:
    """The findings for people: one line for each, with the reason and what to do where there is something to do."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<8} {finding.check}: {finding.found}")
        if finding.verdict in ("warning", "problem"):
            lines += [f"         why: {finding.why}", f"         do:  {finding.advice}"]
    problems, warned = count(findings, "problem"), count(findings, "warning")
    words = [f"{problems} problem{'s' if problems != 1 else ''}", f"{warned} warning{'s' if warned != 1 else ''}"]
    lines += ["", ", ".join([*words, f"{count(findings, 'ok')} ok", f"{count(findings, 'skipped')} skipped"])]
    return "\n".join(lines)


MANY = "Without NATS the workers are servers of their own: a client gets the messages of one of them."

PORT = 8000
"""Where `fanwire serve` listens by default."""
