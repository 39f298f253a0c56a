"""InfluxDB 1, written to by line protocol."""
import json
import time
from urllib.parse import urlencode

from .. import wire
from ..proc import disk_usage, free_port, package_version
from ..workload import NAMES
from .base import System
from .promapi import FORM

CONFIG = """reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
  index-version = "tsi1"
  cache-snapshot-write-cold-duration = "20s"
  compact-full-write-cold-duration = "20s"
  query-log-enabled = false
  max-series-per-database = 0
  max-values-per-tag = 0
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-row-limit = 0
[logging]
  level = "warn"
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
"""


class Influx(System):
    """Metric names are measurements; instance and group are tags."""

    name = "influx"
    durable = "log with fsync before the answer"
    ready_path = "/ping"
    write_path = "/write?db=compare&precision=ms"

    def command(self):
        path = f"{self.folder}/influx.conf"
        with open(path, "w") as f:
            f.write(CONFIG.format(data=self.data_folder(), port=self.port, rpc=free_port()))
        return ["influxd", "-config", path]

    def version(self):
        return package_version("influxdb")

    def prepare(self, workload):
        self._query(self.connect(), "CREATE DATABASE compare")

    def _query(self, connection, query):
        return connection.request("POST", "/query", urlencode({"db": "compare", "epoch": "ms", "q": query}), FORM)

    def _read(self, connection, query, count):
        data = self._query(connection, query)
        if not count:
            return len(data)
        result = json.loads(data)["results"][0]
        if "error" in result:
            raise RuntimeError(result["error"])
        return sum(len(series["values"]) for series in result.get("series", []))

    def encode(self, workload, batch):
        return wire.influx_lines(workload, batch)

    def has_point(self, connection, workload, m, t, value):
        labels = workload.labels(m)
        data = self._query(connection, f"SELECT value FROM {labels['__name__']} "
                                       f"WHERE resource='{labels['resource']}' AND time={t}ms")
        series = json.loads(data)["results"][0].get("series")
        return bool(series) and float(series[0]["values"][0][1]) == value

    def settle(self):
        """Compaction cannot be asked for: wait until the files have not changed for 28 s, longer than its timer."""
        last, same, end = -1, 0, time.time() + self.args.settle_limit
        while same < 4 and time.time() < end:
            time.sleep(7)
            size = disk_usage(self.data_folder())[0]
            same, last = same + 1 if size == last else 0, size

    def read_one(self, connection, workload, m, t0, t1, count=False):
        labels = workload.labels(m)
        return self._read(connection, f"SELECT value FROM {labels['__name__']} WHERE resource='{labels['resource']}' "
                                      f"AND time>={t0}s AND time<{t1}s", count)

    def read_mean(self, connection, workload, meter, n, t0, t1, step, count=False):
        return self._read(connection, f"SELECT mean(value) FROM {NAMES[meter]} WHERE time>={t0}s AND time<{t1}s "
                                      f"GROUP BY time({step}s)", count)

    def read_rate(self, connection, workload, meter, n, t0, t1, count=False):
        return self._read(connection, f"SELECT non_negative_derivative(value,1s) FROM {NAMES[meter]} WHERE grp='g0' "
                                      f"AND time>={t0}s AND time<{t1}s GROUP BY resource", count)

    def read_panel(self, connection, workload, instance, t0, t1, count=False):
        return self._read(connection, f"SELECT value FROM /.*/ WHERE resource='{workload.instance_uuid[instance]}' "
                                      f"AND time>={t0}s AND time<{t1}s", count)
