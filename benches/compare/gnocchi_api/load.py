"""The client: a small program of its own, so that it sends quickly and its CPU is not the server's."""
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time


class Load:
    """`program` is `load.rs`, compiled."""

    def __init__(self, program):
        self.program = program

    def run(self, server, requests, connections, seconds, again=False):
        """Sends requests; what the program printed."""
        with tempfile.NamedTemporaryFile(dir=server.folder) as file:
            for request in requests:
                file.write(struct.pack("<I", len(request)) + request)
            file.flush()
            done = subprocess.run([self.program, f"127.0.0.1:{server.port}", file.name, str(connections), str(seconds)]
                                  + ["again"] * again, check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)


def fsync_micros(folder, times):
    """Latencies of appending 200 bytes to a file in `folder` and forcing them to the disk."""
    path, taken = os.path.join(folder, "fsync-probe"), []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(times):
            began = time.perf_counter()
            os.write(descriptor, b"x" * 200)
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - began) * 1e6)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return taken


def sequential(load, server, work, rounds=5, times=200):
    """Median latency of one client that posts one measure after the other, and of an fsync in the same folder, in µs.
    Turn by turn, so that both see the same disk."""
    posts, syncs = [], []
    for _ in range(rounds):
        syncs.append(statistics.median(fsync_micros(server.data_folder(), times)))
        outcome = load.run(server, work.post_one(times), connections=1, seconds=600)
        if outcome["failed"]:
            raise RuntimeError(f"{server.name}: {outcome['why']}")
        posts.append(outcome["median_us"])
    return statistics.median(posts), statistics.median(syncs)
