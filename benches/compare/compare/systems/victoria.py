"""VictoriaMetrics, single node, written to by remote write."""
import re
import time

from ..proc import package_version, wait_until
from .promapi import PromApi


class Victoria(PromApi):
    """Answers from an earlier answer's cache are switched off."""

    name = "victoria"
    durable = "in memory until a flush within 1-5 s, no log"
    ready_path = "/health"
    extra = {"nocache": 1}

    def command(self):
        return ["victoria-metrics", f"-storageDataPath={self.data_folder()}", f"-httpListenAddr=127.0.0.1:{self.port}",
                "-retentionPeriod=100y", "-loggerLevel=WARN", "-memory.allowedPercent=40",
                "-search.maxUniqueTimeseries=2000000", "-search.maxPointsPerTimeseries=200000",
                "-search.latencyOffset=0s", "-search.maxStalenessInterval=5m"]

    def version(self):
        return package_version("victoria-metrics")

    def settle(self):
        connection = self.connect()
        connection.request("GET", "/internal/force_flush")
        connection.request("GET", "/internal/force_merge")
        time.sleep(1)
        wait_until(lambda: not re.search(rb"vm_active_force_merges [1-9]", connection.request("GET", "/metrics")),
                   self.args.settle_limit, 0.5, "merged")
