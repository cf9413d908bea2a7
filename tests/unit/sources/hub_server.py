"""A hub on the loopback device: serves one folder a repository, counts what it sends, and remembers who asked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"

_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(kw_only=True)
class Hub:
    """What the server serves, and what it has seen."""

    folder: Path
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0

    @property
    def url(self) -> str:
        """The value of HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def find(self, path: str) -> Path | tuple[int, str]:
        """The file that a URL's path names, or the status and error code that the hub would answer."""
        match = _RESOLVE.fullmatch(path)
        if match is None:
            return 404, "NotFound"
        repo, revision, file = match.groups()
        if repo in self.errors:
            return self.errors[repo]
        if not (self.folder / repo).is_dir():
            return 401, "RepoNotFound"
        if revision not in ("main", COMMIT):
            return 404, "RevisionNotFound"
        found = self.folder / repo / file
        return found if found.is_file() else (404, "EntryNotFound")


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """A running hub that serves `folder/org/name/file`."""
    hub = Hub(folder=folder)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            hub.requests.append((self.command, self.path))
            hub.headers.append({key.lower(): value for key, value in self.headers.items()})
            found = hub.find(self.path)
            if isinstance(found, Path):
                self.send_file(found, body=body)
                return
            self.send_response(found[0])
            self.send_header("X-Error-Code", found[1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, path: Path, *, body: bool) -> None:
            size = path.stat().st_size
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            start, end = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{path.name}-{size}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                with path.open("rb") as file:
                    file.seek(start)
                    hub.sent += self.wfile.write(file.read(end - start))

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
