"""The real Gnocchi, from PyPI, with PostgreSQL as its index and files as its store."""
import json
import os
import shutil
import subprocess
import time

from ..proc import disk_usage, free_port, wait_until
from .gnocchi_api import GnocchiApi

SERVER = os.path.join(os.path.dirname(__file__), "..", "..", "gnocchi-server")


class Gnocchi(GnocchiApi):
    """Started and stopped by the script `gnocchi-server`."""

    name = "gnocchi"
    durable = "files written without fsync, aggregated later"
    slow = True

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.data_folder())
        self.port, self.pg_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server("start")
        wait_until(self.answers, 120, 0.1, "gnocchi answers")
        pids = [f"{self.folder}/api.pid", f"{self.folder}/metricd.pid", f"{self.folder}/pg/postmaster.pid"]
        self.watch([int(open(f).readline()) for f in pids])

    def _server(self, what):
        subprocess.run([SERVER, what, self.folder, str(self.port), str(self.pg_port)], check=True)

    def kill(self):
        raise NotImplementedError("several processes; what they accepted is in files")

    def stop(self):
        if self.tree:
            self.tree.close()
        self._server("stop")

    def version(self):
        return json.loads(self.connect().request("GET", "/"))["build"]

    def wait_visible(self, workload, points):
        connection = self.connect()

        def idle():
            status = json.loads(connection.request("GET", "/v1/status?details=false"))
            return status["storage"]["summary"]["measures"] == 0
        # The backlog reads 0 for a moment between two batches, so it must do so twice.
        wait_until(lambda: idle() and (time.sleep(0.05) or idle()), 7200, 0.1, "gnocchi's backlog is empty")
        super().wait_visible(workload, points)

    def disk(self):
        return {**super().disk(), "index": disk_usage(f"{self.folder}/pg/base")[0]}
