"""Nephos on SQLite or PostgreSQL, and Gnocchi: started with an empty store, watched by part, stopped by their own ids."""
import base64
import json
import os
import shutil
import subprocess
import time

from compare.client import Connection
from compare.proc import Tree, free_port, terminate, wait_until

HERE = os.path.join(os.path.dirname(__file__), "..")
AUTHORIZATION = "Basic " + base64.b64encode(b"admin:admin").decode()


class Server:
    """`parts` maps what is counted apart (the server, what it does later, its database) to process ids."""

    name = "?"

    def __init__(self, args):
        self.args, self.folder = args, os.path.join(args.work, self.name.replace(" ", "-").lower())
        self.port = free_port()
        self.parts, self.trees = {}, {}

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        os.chmod(self.args.work, 0o755)
        try:
            self.start()
            wait_until(self.answers, 120, 0.02, f"{self.name} answers")
        except BaseException:
            self.__exit__()
            raise
        self.trees = {part: Tree([pid]) for part, pid in self.parts.items()}
        return self

    def __exit__(self, *_):
        for tree in self.trees.values():
            tree.close()
        self.stop()
        if not self.args.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self):
        return Connection(f"http://127.0.0.1:{self.port}", {"Authorization": AUTHORIZATION, "Content-Type": "application/json"})

    def ask(self, method, path, body=None):
        return json.loads(self.connect().request(method, path, None if body is None else json.dumps(body)) or "null")

    def answers(self):
        self.ask("GET", "/v1/status?details=false")
        return True

    def cpu(self):
        """CPU seconds of each part so far."""
        return {part: tree.cpu() for part, tree in self.trees.items()}

    def idle(self):
        """Waits until what was accepted is processed."""

    def data_folder(self):
        """Where an acknowledged write must be."""
        return os.path.join(self.folder, "data")

    def _postgres(self, database):
        port = free_port()
        subprocess.run([os.path.join(HERE, "postgres-server"), "start", self.folder, str(port), database], check=True)
        self.parts["database"] = int(open(f"{self.folder}/pg/postmaster.pid", encoding="utf-8").readline())
        return f"postgres://{database}@127.0.0.1:{port}/{database}"


class Nephos(Server):
    """The release binary on one kind of index; measures in local files."""

    def __init__(self, args, index):
        self.name, self.index, self.process = f"Nephos {index}", index, None
        super().__init__(args)

    def start(self):
        settings = {"DATA_DIR": self.data_folder(), "API__LISTEN": f"127.0.0.1:{self.port}", "POLLING__ENABLED": "false",
                    "LOG__LEVEL": "warn"}
        if self.index == "PostgreSQL":
            settings["INDEX"] = self._postgres("nephos")
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [self.args.nephos, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", **{"NEPHOS__" + key: value for key, value in settings.items()}})
        self.parts["server"] = self.process.pid

    def stop(self):
        if self.process:
            terminate(self.process)
        if self.index == "PostgreSQL":
            subprocess.run([os.path.join(HERE, "postgres-server"), "stop", self.folder], check=False)


class Gnocchi(Server):
    """The real one from PyPI with PostgreSQL as its index and files as its store, started by `gnocchi-server`."""

    name = "Gnocchi"

    def start(self):
        pg_port = free_port()
        self._server("start", pg_port)
        # Only then are the files with the ids of its processes certainly there.
        wait_until(self.answers, 120, 0.1, "Gnocchi answers")
        for part, file in (("server", "api.pid"), ("later", "metricd.pid"), ("database", "pg/postmaster.pid")):
            self.parts[part] = int(open(f"{self.folder}/{file}", encoding="utf-8").readline())

    def _server(self, action, pg_port=0):
        subprocess.run([os.path.join(HERE, "gnocchi-server"), action, self.folder, str(self.port), str(pg_port)], check=True)

    def idle(self):
        quiet = 0
        # Its backlog reads 0 for a moment between two batches.
        while quiet < 2:
            status = self.ask("GET", "/v1/status?details=false")
            quiet = quiet + 1 if status["storage"]["summary"]["measures"] == 0 else 0
            time.sleep(0.1)

    def stop(self):
        self._server("stop")
