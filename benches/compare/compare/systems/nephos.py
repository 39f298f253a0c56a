"""Nephos in one process on local files, its own polling switched off."""
import os
import subprocess

from ..proc import cpu_of_ended_children, free_port, terminate
from .gnocchi_api import GnocchiApi


class Nephos(GnocchiApi):
    """The release binary given with --nephos."""

    name = "nephos"
    durable = "log with fsync before the answer"

    def command(self):
        return [self.args.nephos, "run"]

    def environment(self):
        return {**os.environ, "NEPHOS__DATA_DIR": self.data_folder(), "NEPHOS__API__LISTEN": f"127.0.0.1:{self.port}",
                "NEPHOS__STORE__LISTEN": f"127.0.0.1:{free_port()}", "NEPHOS__POLLING__ENABLED": "false",
                "NEPHOS__LOG__LEVEL": "warn"}

    def version(self):
        return subprocess.run([self.args.nephos, "--version"], capture_output=True, text=True).stdout.strip()

    def settle(self):
        """Compaction through the command an operator uses, which wants the server stopped. What stopping and the command
        cost counts as the server's."""
        ended, peak = cpu_of_ended_children(), self.tree.peak
        terminate(self.process)
        done = subprocess.run([self.args.nephos, "store", "compact"], env=self.environment(), capture_output=True, text=True)
        ended = cpu_of_ended_children() - ended
        self.launch()
        self.tree.carry(ended, peak)
        if done.returncode != 0:
            raise RuntimeError(f"nephos store compact: {done.stderr.strip()[:300]}")

    def disk(self):
        """The metric store; the index (names, policies, resources) is counted apart."""
        whole = super().disk()
        index = sum(os.path.getsize(os.path.join(self.data_folder(), f))
                    for f in os.listdir(self.data_folder()) if ".sqlite" in f)
        return {**whole, "apparent": whole["apparent"] - index, "allocated": whole["allocated"] - index, "index": index}
