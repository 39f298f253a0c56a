"""CPU seconds, memory and disk of process trees, read from /proc."""
import os
import resource
import socket
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def _stats():
    """pid -> (parent, CPU seconds with those of reaped children, resident bytes) of every process."""
    out = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        out[int(entry)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICK, int(fields[21]) * PAGE)
    return out


class Tree:
    """All processes under the given roots; samples the highest sum of resident sets four times a second."""

    def __init__(self, roots):
        self.roots, self.peak, self.carried = list(roots), 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _members(self):
        stats, children = _stats(), {}
        for pid, (parent, _, _) in stats.items():
            children.setdefault(parent, []).append(pid)
        todo, seen = list(self.roots), set()
        while todo:
            pid = todo.pop()
            if pid in stats and pid not in seen:
                seen.add(pid)
                todo += children.get(pid, [])
        return [stats[pid] for pid in seen]

    def cpu(self):
        return self.carried + sum(cpu for _, cpu, _ in self._members())

    def carry(self, cpu, peak):
        """Counts what processes before these used."""
        self.carried, self.peak = self.carried + cpu, max(self.peak, peak)

    def resident(self):
        return sum(resident for _, _, resident in self._members())

    def _sample(self):
        while not self._stop.wait(0.25):
            self.peak = max(self.peak, self.resident())

    def close(self):
        self._stop.set()
        self._thread.join()


def disk_usage(path):
    """(sizes of files, bytes of allocated blocks, files) below a folder."""
    apparent = allocated = files = 0
    for root, _, names in os.walk(path):
        for name in names:
            try:
                stat = os.lstat(os.path.join(root, name))
            except OSError:
                continue
            apparent += stat.st_size
            allocated += stat.st_blocks * 512
            files += 1
    return apparent, allocated, files


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def package_version(name):
    """Version of an installed Debian package."""
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True).stdout.strip()


def cpu_of_ended_children():
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def terminate(process, timeout=30):
    """Ends one process that was started here, by its own pid."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def wait_until(condition, timeout=60, step=0.05, what="condition"):
    """Polls until `condition()` is true; errors on the way count as false, the last one is named at the end."""
    began, last = time.time(), None
    while time.time() - began < timeout:
        try:
            if condition():
                return
        except Exception as e:
            last = e
        time.sleep(step)
    raise TimeoutError(f"{what} did not come true within {timeout} s; last error: {last}")
