"""What every driver offers. Sizes in bytes, times in seconds unless the name says otherwise."""
import os
import shutil
import subprocess

from ..client import Connection
from ..proc import Tree, disk_usage, free_port, terminate, wait_until


class System:
    """A server on loopback: started by us, watched, and stopped by its own pid.

    Queries return the size of the answer, or with `count` the number of points in it:
      read_one(c, w, m, t0, t1)                 one metric, every stored point
      read_mean(c, w, meter, n, t0, t1, step)   mean over n metrics of one meter, in buckets of `step`
      read_rate(c, w, meter, n, t0, t1)         rate of n counters, each interval
      read_panel(c, w, instance, t0, t1)        20 metrics of one instance, every point, one request
    """

    name = "?"
    durable = "?"                # what an acknowledged write is, in words
    slow = False                 # gets the small size of the work
    ready_path = "/"
    headers = {}
    write_path, write_headers = "/", {}

    def __init__(self, args):
        self.args, self.folder = args, os.path.join(args.work, self.name)
        self.process, self.tree, self.url, self.argv = None, None, None, []

    # ---- life cycle

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.data_folder())
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.argv = self.command()
        self.launch()

    def command(self):
        """The argument list that starts the server on `self.port` with data in `data_folder()`."""
        raise NotImplementedError

    def launch(self):
        """Starts the server's process and waits until it answers."""
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment(), start_new_session=True)
        wait_until(self.answers, 120, 0.01, f"{self.name} answers")
        self.watch([self.process.pid])

    def answers(self):
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"ended with {self.process.returncode}; see {self.folder}/log")
        self.connect().request("GET", self.ready_path)
        return True

    def environment(self):
        return dict(os.environ)

    def watch(self, pids):
        if self.tree:
            self.tree.close()
        self.tree = Tree(pids)

    def kill(self):
        """As a crash: no time to write anything."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.tree:
            self.tree.close()
        if self.process:
            terminate(self.process)

    def version(self):
        return ""

    def prepare(self, workload):
        """Creates what must exist before the first write."""

    # ---- writing

    def connect(self):
        return Connection(self.url, self.headers)

    def encode(self, workload, batch):
        raise NotImplementedError

    def send(self, connection, body):
        connection.request("POST", self.write_path, body, self.write_headers)

    def has_point(self, connection, workload, m, t, value):
        """Whether metric number `m` has this value at `t` ms."""
        raise NotImplementedError

    def wait_visible(self, workload, points):
        connection = self.connect()
        for m, t, value in points:
            wait_until(lambda: self.has_point(connection, workload, m, t, value), 180, 0.02, f"metric {m} at {t}")

    def settle(self):
        """Asks for compaction where that can be asked for, and waits for it."""

    # ---- disk

    def data_folder(self):
        return os.path.join(self.folder, "data")

    def disk(self):
        apparent, allocated, files = disk_usage(self.data_folder())
        return {"apparent": apparent, "allocated": allocated, "files": files}
