"""Deterministic cloud telemetry.

Every instance has the same 20 meters, polled every `interval` seconds. Each instance is generated on its own from
(seed, instance number), vectorised over time, so a subset of instances or another number of them yields the same values.

Three phases follow one another on one time line that ends at `end`, so that engines which refuse old points can take all:
  history  [end - days, end - 24 h)  20 meters of instance 0
  wide     [end - 24 h, end - hours) the same, memory_usage of `wide` instances, cpu of up to 100
  live     [end - hours, end)        20 meters of all instances, and the series of `wide`
"""
import uuid
from dataclasses import dataclass

import numpy as np

# name -> kind: C cumulative counter, G gauge, K constant
METERS = {
    "cpu": "C", "vcpus": "K", "memory": "K", "memory_usage": "G", "memory_resident": "G", "memory_swap_in": "C",
    "disk_device_read_bytes": "C", "disk_device_read_requests": "C", "disk_device_write_bytes": "C",
    "disk_device_write_requests": "C", "disk_device_read_latency": "C", "disk_device_write_latency": "C",
    "disk_device_capacity": "K", "disk_device_allocation": "G", "network_incoming_bytes": "C",
    "network_incoming_packets": "C", "network_outgoing_bytes": "C", "network_outgoing_packets": "C",
    "network_incoming_packets_drop": "C", "cpu_util": "G",
}
NAMES = list(METERS)
N_METERS = len(NAMES)
CPU, MEMORY = NAMES.index("cpu"), NAMES.index("memory_usage")
GROUP = 100                      # instances per value of the label `grp`
DAY = 86400


@dataclass
class Batch:
    """One request: parallel lists of metric number, times in ms, values."""
    metrics: list
    times: list
    values: list


@dataclass
class Workload:
    """All data of one run; a metric's number is instance * N_METERS + meter."""
    instances: int
    hours: float
    days: int
    wide: int
    seed: int
    interval: int
    request_points: int
    wide_points: int
    end: int                     # seconds since 1970, a multiple of 300

    def __post_init__(self):
        self.rate_instances = min(100, max(self.wide, self.instances))
        self.total_instances = max(self.instances, self.wide, self.rate_instances)
        self.ticks_day = DAY // self.interval
        self.ticks_live = int(self.hours * 3600 // self.interval)
        self.ticks_history = self.days * self.ticks_day
        if self.ticks_live > self.ticks_day or self.days < 2:
            raise ValueError("at most 24 hours live, at least 2 days in all")
        name = lambda kind, *n: str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, (self.seed, kind, *n)))))
        self.instance_uuid = [name("i", i) for i in range(self.total_instances)]
        self.metric_uuid = [name("m", i, k) for i in range(self.total_instances) for k in range(N_METERS)]

    # ---- values

    def build(self):
        """Generates everything: 1 day of each instance, the whole time of instance 0."""
        self.times = np.empty((self.total_instances, self.ticks_day), np.int64)
        self.values = np.empty((self.total_instances, N_METERS, self.ticks_day))
        for i in range(1, self.total_instances):
            self.times[i], self.values[i] = self._instance(i, self.ticks_day)
        self.times0, self.values0 = self._instance(0, self.ticks_history)
        self.times[0], self.values[0] = self.times0[-self.ticks_day:], self.values0[:, -self.ticks_day:]
        return self

    def _times(self, r, ticks):
        """Own phase inside the interval; a fifth of the ticks jittered, one in a thousand late by up to 2 s."""
        milliseconds = self.interval * 1000
        phase = int(r.uniform(0.03, 0.83) * milliseconds)
        times = (self.end - ticks * self.interval) * 1000 + phase + np.arange(ticks, dtype=np.int64) * milliseconds
        jitter = np.zeros(ticks)
        hit = r.random(ticks) < 0.2
        jitter[hit] = r.normal(0, 15, hit.sum())
        late = r.random(ticks) < 0.001
        jitter[late] += r.uniform(0.1, 1, late.sum()) * min(2000, milliseconds / 10)
        return times + jitter.astype(np.int64)

    def _instance(self, i, ticks):
        r = np.random.default_rng([self.seed, i])
        dt = float(self.interval)
        times = self._times(r, ticks)
        # Load: a slow daily wave and autocorrelated noise; 30 % of the instances are idle.
        idle = r.random() < 0.3
        vcpus = int(r.choice([1, 2, 4, 8]))
        memory = vcpus * int(r.choice([2048, 4096]))
        day = np.arange(ticks) * dt / DAY * 2 * np.pi
        level = r.uniform(0.005, 0.03) if idle else r.uniform(0.05, 0.6)
        load = np.clip(level * (1 + 0.5 * np.sin(day + r.uniform(0, 6)) + _noise(r, ticks)), 0.001, 1.0)
        reset = r.random(ticks) < self.interval / (7 * DAY)
        start = 0.0 if reset.any() else float(r.integers(0, 10 ** 9))

        def counter(increment, quantum=1):
            increment = np.floor(np.maximum(increment, 0) / quantum) * quantum
            c = np.cumsum(increment)
            for k in np.flatnonzero(reset):      # a reboot: it counts from 0 again
                c[k:] -= c[k] - increment[k] if k == 0 else c[k - 1]
            return c + start

        out = np.empty((N_METERS, ticks))
        cpu = load * vcpus * dt * 1e9 * (1 + r.normal(0, 0.02, ticks))
        out[0] = counter(cpu)
        out[1], out[2] = vcpus, memory
        walk = np.cumsum(r.normal(0, 1, ticks) * (r.random(ticks) < (0.1 if idle else 0.5)) * memory / 800)
        used = np.clip(memory * 0.4 + walk, memory * 0.05, memory * 0.95)
        out[3] = np.floor(used)
        out[4] = np.floor(np.maximum.accumulate(used) * 1.05)
        out[5] = counter((r.random(ticks) < 0.002) * r.integers(1, 64, ticks))
        busy = r.random(ticks) < (0.15 if idle else 0.9)
        reads = np.floor(busy * load * r.lognormal(4, 1, ticks))
        writes = np.floor(busy * load * r.lognormal(5, 1, ticks) + (0 if idle else 3))
        out[6], out[7] = counter(reads * 16384 * r.uniform(0.5, 2, ticks), 512), counter(reads)
        out[8], out[9] = counter(writes * 12288 * r.uniform(0.5, 2, ticks), 512), counter(writes)
        out[10], out[11] = counter(reads * r.lognormal(12, 0.5, ticks)), counter(writes * r.lognormal(12, 0.5, ticks))
        capacity = int(r.choice([20, 40, 80])) << 30
        out[12] = capacity
        out[13] = np.minimum(np.floor((capacity * 0.3 + np.cumsum(writes * 400)) / 65536) * 65536, capacity)
        received = np.floor(load * r.lognormal(3 if idle else 6, 0.7, ticks)) + 2
        sent = np.floor(received * r.uniform(0.6, 1.1, ticks))
        out[14], out[15] = counter(received * r.uniform(80, 900, ticks)), counter(received)
        out[16], out[17] = counter(sent * r.uniform(80, 900, ticks)), counter(sent)
        out[18] = counter((r.random(ticks) < 0.0005) * 1.0)
        out[19] = cpu / (vcpus * dt * 1e9) * 100.0      # a full double, as a rate transformer yields
        return times, out

    # ---- names

    def metric(self, instance, meter):
        return instance * N_METERS + meter

    def labels(self, m):
        i, k = divmod(m, N_METERS)
        return {"__name__": NAMES[k], "grp": f"g{i // GROUP}", "resource": self.instance_uuid[i]}

    def wide_series(self):
        """Metrics that have a whole day of data."""
        series = {self.metric(0, k) for k in range(N_METERS)}
        series |= {self.metric(i, MEMORY) for i in range(self.wide)}
        series |= {self.metric(i, CPU) for i in range(self.rate_instances)}
        return sorted(series)

    def series(self):
        """All metrics that get data."""
        return sorted({self.metric(i, k) for i in range(self.instances) for k in range(N_METERS)} | set(self.wide_series()))

    def point(self, m, tick):
        """(metric, ms, value) at a tick of the last day."""
        i, k = divmod(m, N_METERS)
        return m, int(self.times[i][tick]), float(self.values[i][k][tick])

    # ---- requests

    def _batch(self, metrics, a, b):
        return Batch(metrics, [self.times[m // N_METERS][a:b] for m in metrics],
                     [self.values[m // N_METERS][m % N_METERS][a:b] for m in metrics])

    def history(self):
        stop, step = self.ticks_history - self.ticks_day, max(1, self.request_points // N_METERS)
        for t in range(0, stop, step):
            e = min(stop, t + step)
            yield Batch(list(range(N_METERS)), [self.times0[t:e]] * N_METERS, [v[t:e] for v in self.values0])

    def wide_batches(self):
        series, per = self.wide_series(), max(1, self.request_points // self.wide_points)
        for t in range(0, self.ticks_day - self.ticks_live, self.wide_points):
            for s in range(0, len(series), per):
                yield self._batch(series[s:s + per], t, min(t + self.wide_points, self.ticks_day - self.ticks_live))

    def live(self, connections):
        """For each connection its batches in order, one point a series a request; a series stays on one connection."""
        series = self.series()
        for c in range(connections):
            part = series[len(series) * c // connections:len(series) * (c + 1) // connections]
            yield [self._batch(part[s:s + self.request_points], t, t + 1)
                   for t in range(self.ticks_day - self.ticks_live, self.ticks_day)
                   for s in range(0, len(part), self.request_points)]

    def totals(self):
        """Points of each phase, and series."""
        return {"history": N_METERS * (self.ticks_history - self.ticks_day),
                "wide": len(self.wide_series()) * (self.ticks_day - self.ticks_live),
                "live": len(self.series()) * self.ticks_live, "series": len(self.series())}


def _noise(r, n, keep=0.9, sigma=0.25):
    """First-order autoregressive noise, as a convolution instead of a loop."""
    return np.convolve(r.normal(0, sigma, n) * np.sqrt(1 - keep * keep), np.power(keep, np.arange(64)))[:n]
