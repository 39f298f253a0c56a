"""Nephos on an empty store, on each kind of storage; and the pieces any server on loopback needs."""
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
import uuid
from urllib.parse import urlsplit

ADMIN = "Basic YWRtaW46"
JSON = {"authorization": ADMIN, "content-type": "application/json", "accept": "application/json"}

# What Gnocchi's suites count on, besides a store without policies, rules, types, and with revisions from 1 on.
SETTINGS = {
    "API__LISTEN": "127.0.0.1:0",
    "API__MAX_LIMIT": "7",
    "API__ENABLE_PROXY_HEADERS_PARSING": "true",
    "CORS__ALLOWED_ORIGIN": "http://foobar.com",
    "ARCHIVE_POLICY__CREATE_DEFAULTS": "false",
    "POLLING__ENABLED": "false",
    "STORE__MIN_FREE": "0",
    "LOG__LEVEL": "warn",
}


class Api:
    """A keep-alive connection as user `admin`."""

    def __init__(self, url, timeout=90):
        parts = urlsplit(url)
        self.host, self.port, self.timeout, self.raw = parts.hostname, parts.port, timeout, None

    def send(self, method, path, body=None, headers=None):
        """Status and body: parsed if it is JSON, else text. Status 0: the connection was closed instead of an answer."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        for again in (True, False):
            fresh = self.raw is None
            try:
                if fresh:
                    self.raw = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
                self.raw.request(method, path, body, headers or JSON)
                answer = self.raw.getresponse()
                text = answer.read().decode()
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A server may close a connection that waits; a new one shows whether it is that.
                if fresh or not again:
                    return 0, repr(error)
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def expect(self, status, method, path, body=None):
        got, answer = self.send(method, path, body)
        if got != status:
            raise RuntimeError(f"{method} {path}: {got} {answer}")
        return answer

    def close(self):
        if self.raw is not None:
            self.raw.close()
        self.raw = None


class Files:
    """SQLite and local files: no server needed."""

    name = "SQLite + local files"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def fresh(self):
        """Settings of a storage nothing was written to, and how to remove it."""
        return {}, lambda: None


class Servers:
    """PostgreSQL and a bucket: a database for each store, a prefix of one bucket for each."""

    name = "PostgreSQL + S3"

    def __init__(self):
        self.postgres = os.environ.get("NEPHOS_TEST_POSTGRES_URL", "postgres://nephos:nephos@127.0.0.1:45432")
        self.s3 = os.environ.get("NEPHOS_TEST_S3_URL", "http://127.0.0.1:45675")
        self.bucket = "conformance-" + uuid.uuid4().hex

    def _sql(self, statement):
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, self.postgres + "/postgres"],
                       check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        urllib.request.urlopen(urllib.request.Request(f"{self.s3}/{self.bucket}", method="PUT"), timeout=30).close()
        return self

    def __exit__(self, *_):
        pass

    def fresh(self):
        database = "c" + uuid.uuid4().hex
        self._sql(f"CREATE DATABASE {database}")
        settings = {
            "INDEX": f"{self.postgres}/{database}",
            "STORE__URL": f"s3://{self.bucket}/{database}",
            "STORE__ENDPOINT": self.s3,
            "STORE__ALLOW_HTTP": "true",
            "STORE__ACCESS_KEY_ID": "tests",
            "STORE__SECRET_ACCESS_KEY": "a secret",
        }
        return settings, lambda: self._sql(f"DROP DATABASE {database} WITH (FORCE)")


BACKENDS = {"files": Files, "servers": Servers}


class Nephos:
    """A started Nephos on a fresh store of `backend`; gone with its data at the end of a `with`."""

    def __init__(self, binary, backend, **settings):
        self.binary, self.backend, self.settings = binary, backend, settings

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="conformance-")
        stored, self._remove = self.backend.fresh()
        values = {"DATA_DIR": os.path.join(self.folder, "data"), **SETTINGS, **stored, **self.settings}
        ports = os.path.join(self.folder, "ports.json")
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [self.binary, "run", "--port-file", ports], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": "/usr/bin:/bin", **{"NEPHOS__" + key: value for key, value in values.items()}})
        try:
            self.url = self._until(lambda: json.load(open(ports))["api"])
            self._until(lambda: urllib.request.urlopen(self.url + "/readyz", timeout=5).close() or True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _until(self, ask, patience=60):
        end = time.monotonic() + patience
        while True:
            try:
                return ask()
            except (OSError, ValueError, KeyError) as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"Nephos does not start: {error}\n{self.log()}") from error
            time.sleep(0.01)

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()[-4000:]

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._remove()
        shutil.rmtree(self.folder, ignore_errors=True)
