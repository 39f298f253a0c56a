"""Prometheus, written to by remote write."""
import json
import os
import re

from ..proc import disk_usage, package_version, wait_until
from .promapi import PromApi


class Prometheus(PromApi):
    """Nothing is scraped."""

    name = "prometheus"
    durable = "log without fsync"
    ready_path = "/-/ready"

    def command(self):
        config = f"{self.folder}/prometheus.yml"
        with open(config, "w") as f:
            f.write("global: {scrape_interval: 1m}\n")
        return ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.data_folder()}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver", "--web.enable-admin-api",
                "--storage.tsdb.retention.time=10y", "--query.max-samples=200000000", "--log.level=warn"]

    def version(self):
        return package_version("prometheus")

    def settle(self):
        """Compaction of the head runs once a minute and cannot be asked for."""
        def compacted():
            text = self.connect().request("GET", "/metrics").decode()
            value = lambda name: float(re.search(rf"^{name} (\S+)", text, re.M).group(1))
            return value("prometheus_tsdb_head_max_time") - value("prometheus_tsdb_head_min_time") < 3.1 * 3600e3
        wait_until(compacted, self.args.settle_limit, 1, "head compacted")

    def disk(self):
        """A snapshot: everything as blocks; the live folder with its log is counted apart."""
        live = disk_usage(self.data_folder())[0]
        made = json.loads(self.connect().request("POST", "/api/v1/admin/tsdb/snapshot"))["data"]["name"]
        apparent, allocated, files = disk_usage(os.path.join(self.data_folder(), "snapshots", made))
        return {"apparent": apparent, "allocated": allocated, "files": files, "live": live}
