"""A web server that is not Fanwire: pages of another origin, which load the client from their own."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from pathlib import Path
from urllib.parse import quote, urlsplit

PAGES = Path(__file__).parents[2] / "browser" / "pages"
CLIENT = Path(__file__).parents[3] / "python" / "fanwire" / "browser" / "fanwire.js"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the pages and the client's file."""

    def translate_path(self, path: str) -> str:
        name = Path(urlsplit(path).path).name
        return str(CLIENT if name == CLIENT.name else PAGES / name)

    def log_message(self, *_: object) -> None:
        pass


class OtherSite:
    """Listens at `port` of 127.0.0.1 while entered."""

    def __enter__(self) -> OtherSite:
        handler = functools.partial(Handler, directory=str(PAGES))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def origin(self) -> str:
        """Of its pages."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, page: str = "reader.html", **options: object) -> str:
        """The address of a page."""
        return f"{self.origin}/pages/{page}?options={quote(json.dumps(options))}"
