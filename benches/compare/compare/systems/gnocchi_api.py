"""Whatever speaks Gnocchi's REST API: Gnocchi and Nephos differ only in how they are started and looked after."""
import base64
import json
import threading

from .. import wire
from ..workload import N_METERS, NAMES
from .base import System

JSON = {"Content-Type": "application/json"}


class GnocchiApi(System):
    """Policy `compare`: one method, the polling interval, as many points as the work has."""

    headers = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}
    write_path, write_headers = "/v1/batch/metrics/measures", JSON
    ready_path = "/v1/status"

    def post(self, connection, path, body, **kw):
        return connection.request("POST", path, json.dumps(body), JSON, **kw)

    def prepare(self, workload):
        self.post(self.connect(), "/v1/archive_policy", {
            "name": "compare", "aggregation_methods": ["mean"], "back_window": 0,
            "definition": [{"granularity": f"{workload.interval}s", "points": workload.ticks_history + workload.ticks_day}]})
        meters = {}
        for m in workload.series():
            meters.setdefault(m // N_METERS, []).append(m % N_METERS)
        todo, errors = list(meters.items()), []

        def create():
            connection = self.connect()
            try:
                while todo and not errors:
                    i, wanted = todo.pop()
                    made = json.loads(self.post(connection, "/v1/resource/generic", {
                        "id": workload.instance_uuid[i],
                        "metrics": {NAMES[k]: {"archive_policy_name": "compare"} for k in wanted}}))
                    for name, uuid in made["metrics"].items():
                        workload.metric_uuid[workload.metric(i, NAMES.index(name))] = uuid
            except IndexError:
                pass                                    # another thread took the last one
            except Exception as e:
                errors.append(e)
        threads = [threading.Thread(target=create) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if errors:
            raise errors[0]

    def encode(self, workload, batch):
        return wire.gnocchi_json(workload, batch)

    def _measures(self, workload, m, start, stop):
        return (f"/v1/metric/{workload.metric_uuid[m]}/measures?aggregation=mean"
                f"&granularity={workload.interval}&start={start}&stop={stop}")

    def has_point(self, connection, workload, m, t, value):
        start = t // 1000 // workload.interval * workload.interval
        found = json.loads(connection.request("GET", self._measures(workload, m, start, start + workload.interval)))
        return bool(found) and abs(found[-1][2] - value) <= 1e-9 * abs(value)

    # ---- queries

    def _aggregates(self, connection, workload, operations, t0, t1, count):
        data = self.post(connection, f"/v1/aggregates?start={t0}&stop={t1}&granularity={workload.interval}",
                         {"operations": operations})
        if not count:
            return len(data)
        per_metric = json.loads(data)["measures"]
        if "aggregated" in per_metric:
            return len(per_metric["aggregated"])
        return sum(len(points) for methods in per_metric.values() for points in methods.values())

    def _refs(self, workload, metrics):
        return ["metric"] + [[workload.metric_uuid[m], "mean"] for m in metrics]

    def read_one(self, connection, workload, m, t0, t1, count=False):
        data = connection.request("GET", self._measures(workload, m, t0, t1))
        return len(json.loads(data)) if count else len(data)

    def read_mean(self, connection, workload, meter, n, t0, t1, step, count=False):
        refs = self._refs(workload, [workload.metric(i, meter) for i in range(n)])
        return self._aggregates(connection, workload, ["resample", "mean", step, ["aggregate", "mean", refs]], t0, t1, count)

    def read_rate(self, connection, workload, meter, n, t0, t1, count=False):
        refs = self._refs(workload, [workload.metric(i, meter) for i in range(n)])
        return self._aggregates(connection, workload, ["rateofchange", refs], t0, t1, count)

    def read_panel(self, connection, workload, instance, t0, t1, count=False):
        refs = self._refs(workload, [workload.metric(instance, k) for k in range(N_METERS)])
        return self._aggregates(connection, workload, refs, t0, t1, count)
