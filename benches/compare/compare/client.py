"""A small keep-alive HTTP client on the standard library, so that the client costs all systems the same."""
import http.client
import socket
from urllib.parse import urlsplit

BROKEN = (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError, ConnectionResetError)


class Connection:
    """One connection to one server; opened again once when the server had closed it."""

    def __init__(self, url, headers=None, timeout=600):
        parts = urlsplit(url)
        self.host, self.port, self.base = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self.headers, self.timeout, self.raw = dict(headers or {}), timeout, None

    def _open(self):
        self.raw = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        self.raw.connect()
        self.raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method, path, body=None, headers=None, ok=(200, 201, 202, 204)):
        """The body of the answer; any status that is not in `ok` is an error with the answer's beginning."""
        for last in (False, True):
            try:
                if self.raw is None:
                    self._open()
                self.raw.request(method, self.base + path, body, {**self.headers, **(headers or {})})
                answer = self.raw.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                break
            except BROKEN:
                self.close()
                if last:
                    raise
        if answer.status not in ok:
            raise RuntimeError(f"{method} {path[:120]} -> {answer.status} {data[:300]!r}")
        return data

    def close(self):
        if self.raw is not None:
            self.raw.close()
        self.raw = None
