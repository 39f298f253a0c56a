"""Queries shared by the two engines that speak Prometheus' query API and remote write."""
import json
from urllib.parse import quote, urlencode

from .. import wire
from ..workload import NAMES
from .base import System

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class PromApi(System):
    """`extra` are parameters each query gets."""

    extra = {}
    write_path = "/api/v1/write"
    write_headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                     "X-Prometheus-Remote-Write-Version": "0.1.0"}

    def encode(self, workload, batch):
        return wire.remote_write(workload, batch)

    def _query(self, connection, path, parameters, count):
        data = connection.request("POST", path, urlencode({**parameters, **self.extra}), FORM)
        return sum(len(s["values"]) for s in json.loads(data)["data"]["result"]) if count else len(data)

    def _range(self, connection, expression, t0, t1, step, count):
        return self._query(connection, "/api/v1/query_range",
                           {"query": expression, "start": t0, "end": t1, "step": step}, count)

    def _raw(self, connection, selector, t0, t1, count):
        return self._query(connection, "/api/v1/query", {"query": f"{selector}[{t1 - t0}s]", "time": t1}, count)

    def _selector(self, workload, m):
        labels = workload.labels(m)
        return '%s{resource="%s"}' % (labels["__name__"], labels["resource"])

    def has_point(self, connection, workload, m, t, value):
        query = quote(f"{self._selector(workload, m)}[1m]")
        data = connection.request("GET", f"/api/v1/query?query={query}&time={(t + 20000) / 1000}&nocache=1")
        return any(abs(at * 1000 - t) < 2 and abs(float(x) - value) <= 1e-12 * abs(value)   # VictoriaMetrics rounds
                   for series in json.loads(data)["data"]["result"] for at, x in series["values"])

    def read_one(self, connection, workload, m, t0, t1, count=False):
        return self._raw(connection, self._selector(workload, m), t0, t1, count)

    def read_mean(self, connection, workload, meter, n, t0, t1, step, count=False):
        return self._range(connection, f"avg(avg_over_time({NAMES[meter]}[{step}s]))", t0 + step, t1, step, count)

    def read_rate(self, connection, workload, meter, n, t0, t1, count=False):
        expression = 'rate(%s{grp="g0"}[%ds])' % (NAMES[meter], 2 * workload.interval)
        return self._range(connection, expression, t0, t1, workload.interval, count)

    def read_panel(self, connection, workload, instance, t0, t1, count=False):
        return self._raw(connection, '{resource="%s"}' % workload.instance_uuid[instance], t0, t1, count)
