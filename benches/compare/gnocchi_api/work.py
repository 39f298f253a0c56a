"""The kinds of requests, and what must be in the store for them."""
import json
import random
import uuid

from .servers import AUTHORIZATION

METRICS = [f"metric.{number}" for number in range(10)]
PER_PROJECT = 10
BEGIN = 1_767_225_600          # 2026-01-01
POINTS = 60


def http(method, path, body=None):
    """A request as it goes over the wire."""
    content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {AUTHORIZATION}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n")
    return head.encode() + content


def resource(random_, project):
    return http("POST", "/v1/resource/generic", {
        "id": str(uuid.UUID(int=random_.getrandbits(128), version=4)), "project_id": project, "user_id": "somebody",
        "metrics": {name: {"archive_policy_name": "api"} for name in METRICS}})


class Work:
    """Requests for one server. `known` are ids of metrics with `POINTS` points each."""

    def __init__(self, seed, projects):
        self.random = random.Random(seed)
        self.known, self.projects, self.clock = [], projects, BEGIN + 86_400

    # ---- what must be there

    def fill(self, server, load, populate):
        """A policy, 100 resources of 10 metrics with an hour of points, and `populate` more resources without."""
        server.ask("POST", "/v1/archive_policy", {
            "name": "api", "definition": [{"granularity": "1 minute", "timespan": "30 days"}],
            "aggregation_methods": ["mean", "max", "count"]})
        self._send(load, server, [resource(self.random, f"project-{number // PER_PROJECT}") for number in range(100)])
        if populate:
            projects = max(1, populate // PER_PROJECT)
            step = 20_000
            for start in range(0, populate, step):
                self._send(load, server, [resource(self.random, f"other-{self.random.randrange(projects)}")
                                          for _ in range(min(step, populate - start))])
        for number in range(10):
            found = server.ask("POST", "/v1/search/resource/generic", {"=": {"project_id": f"project-{number}"}})
            self.known += [identifier for each in found for identifier in each["metrics"].values()]
        assert len(self.known) == 1000, len(self.known)
        points = [[BEGIN + 60 * minute, self.random.uniform(0, 100)] for minute in range(POINTS)]
        measures = json.dumps([{"timestamp": time, "value": value} for time, value in points])
        for start in range(0, 1000, 100):
            body = "{" + ",".join(f'"{identifier}": {measures}' for identifier in self.known[start:start + 100]) + "}"
            server.connect().request("POST", "/v1/batch/metrics/measures", body)
        server.idle()

    @staticmethod
    def _send(load, server, requests):
        outcome = load.run(server, requests, connections=8, seconds=86_400)
        if outcome["failed"]:
            raise RuntimeError(f"filling {server.name}: {outcome}")

    # ---- what is asked

    def some(self):
        return self.random.choice(self.known)

    def tick(self):
        """A moment nothing was written at yet."""
        self.clock += 1
        return self.clock

    def post_one(self, count):
        for _ in range(count):
            yield http("POST", f"/v1/metric/{self.some()}/measures",
                       f'[{{"timestamp": {self.tick()}, "value": {self.random.uniform(0, 100)}}}]')

    def post_batch(self, count):
        for _ in range(count):
            times = [self.tick() for _ in range(10)]
            measures = "[" + ", ".join(f'{{"timestamp": {time}, "value": {time % 97}.5}}' for time in times) + "]"
            some = self.random.sample(self.known, 100)
            yield http("POST", "/v1/batch/metrics/measures", "{" + ", ".join(f'"{metric}": {measures}' for metric in some) + "}")

    def get_points(self, count):
        for _ in range(count):
            yield http("GET", f"/v1/metric/{self.some()}/measures?start={BEGIN}&stop={BEGIN + 60 * POINTS}")

    def aggregates(self, count):
        for _ in range(count):
            metrics = [[metric, "mean"] for metric in self.random.sample(self.known, 40)]
            yield http("POST", f"/v1/aggregates?start={BEGIN}&stop={BEGIN + 60 * POINTS}",
                       {"operations": ["aggregate", "mean", ["metric", *metrics]]})

    def create_metric(self, count):
        for _ in range(count):
            yield http("POST", "/v1/metric", {"archive_policy_name": "api", "name": f"made.{self.random.getrandbits(64)}"})

    def create_resource(self, count):
        for number in range(count):
            yield resource(self.random, f"made-{number // PER_PROJECT}")

    def list_metrics(self, count):
        for _ in range(count):
            yield http("GET", "/v1/metric?limit=200")

    def search(self, count):
        for _ in range(count):
            yield http("POST", "/v1/search/resource/generic", {"=": {"project_id": f"project-{self.random.randrange(10)}"}})


# What, its name, the limit in µs of CPU, and requests prepared for a second of Nephos and of Gnocchi; None: these go round.
KINDS = [
    ("get_points", f"GET {POINTS} points", 60, None),
    ("aggregates", f"aggregates over 40 metrics × {POINTS} points", 300, None),
    ("list_metrics", "list 200 metrics", 1000, None),
    ("search", "search by project (10 resources)", 300, None),
    ("post_one", "POST one measure", 60, (20_000, 400)),
    ("post_batch", "POST 100 metrics × 10 measures", 600, (1_500, 8)),
    ("create_metric", "create a metric", 150, (10_000, 500)),
    ("create_resource", "create a resource with 10 metrics", 400, (4_000, 100)),
]
ROUND = 2_000
