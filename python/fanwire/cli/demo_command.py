"""`fanwire demo`."""

from __future__ import annotations

import click

from fanwire.cli import serve as serving
from fanwire.cli.failure import CommandFailed

__all__ = ["demo"]


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the page; 0 means any free port.",
)
@click.option("--open/--no-open", "is_opened", default=False, show_default=True, help="Open the page in a browser.")
def demo(port: int, is_opened: bool) -> None:
    """Shows a live page at 127.0.0.1: slow readers, a cut network, three transports, this machine's readings."""
    try:
        from fanwire.demo.app import Demo
    except ModuleNotFoundError as error:
        if error.name != "psutil":
            raise
        raise CommandFailed("the demo needs psutil: pip install 'fanwire[demo]'") from error

    app = Demo(port)

    def ready() -> None:
        app.begin()
        click.echo(f"the demo is at {app.page}")
        if is_opened:
            click.launch(app.page)

    serving.run_server(app.server, ready)
