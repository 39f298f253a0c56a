"""Seeded random scenes: requests that fill a store, then requests whose answers are compared.

A scene is a dictionary of JSON values. In paths and bodies `{m0}`, `{m1}`, … stand for the ids of its metrics, which each
server makes itself; whatever else has a name has one that no other scene uses, so that scenes may share a server.
"""
import random as randoms
import uuid
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode

from .operations import operations

BEGIN = datetime(2023, 3, 6, 12, tzinfo=timezone.utc)
METHODS = ["mean", "sum", "last", "max", "min", "std", "median", "first", "count", "5pct", "50pct", "95pct", "99pct"]
# Each coarser one is a multiple of the finer: of others Gnocchi computes a bucket at the edge of what it still has raw.
LADDERS = [[60], [60, 300], [60, 300, 3600], [1, 60], [0.5, 60], [10, 300], [300, 3600], [3600, 86400]]


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")


def policy(random, name):
    ladder = random.choice(LADDERS)
    methods = random.sample(METHODS, random.randint(2, 6))
    if "mean" not in methods:
        methods[0] = "mean"
    rates = random.random() < 0.35
    if rates:
        methods += ["rate:" + method for method in random.sample(["mean", "sum", "max", "min", "last", "95pct", "count"], 2)]
    # Gnocchi keeps as many buckets of each method as the policy says. Nephos keeps buckets, with all their methods, so that
    # of methods that have no value in some buckets it may show fewer.
    few = random.random() < 0.3 and "std" not in methods and not rates
    definition = [{"granularity": step, **({"points": random.randint(3, 40)} if few else {"points": 3000})}
                  for step in ladder]
    body = {"name": name, "definition": definition, "aggregation_methods": methods,
            "back_window": random.choice([0, 0, 0, 1, 3])}
    return body, ladder, methods, rates


def value(random, wild):
    kind = random.randrange(12 if wild else 10)
    if kind < 5:
        return round(random.uniform(-100, 100), random.randint(0, 6))
    if kind < 8:
        return random.randint(-5, 5)
    if kind < 10:
        return random.uniform(0, 1) * 10.0 ** random.randint(-12, 12)
    return random.choice([0, 0.1, 1e300, -1e300, 5e-324, 1e-200, 2**53 + 1, -7.25, 1.5])


def measures(random, begin, count, step, wild, dirty):
    """Points about `step` seconds apart: as if by clockwork or jittered, with some missing or doubled; `wild`: some huge or
    tiny; `dirty`: some no numbers."""
    jitter = random.choice([0, 0, 0.001, 0.3])
    points = []
    for number in range(count):
        if random.random() < 0.1:
            continue
        moment = begin + timedelta(seconds=round(number * step + random.uniform(-jitter, jitter) * step, 3))
        points.append({"timestamp": stamp(moment), "value": value(random, wild)})
        if random.random() < 0.05:
            points.append({"timestamp": stamp(moment), "value": value(random, wild)})
        if dirty and random.random() < 0.06:
            points[-1]["value"] = random.choice([float("nan"), "nan", float("inf"), "-inf", "3.5", True])
    random.shuffle(points)
    return points


class Scene:
    """One scene while it is made."""

    def __init__(self, seed):
        self.seed = seed
        self.random = randoms.Random(f"scene {seed}")
        self.setup, self.questions = [], []
        self.project = f"project-{seed}"
        self.type = f"kind{seed}"

    def uuid(self, what):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.seed} {what}"))

    def do(self, method, path, body=None, keep=None):
        self.setup.append({"method": method, "path": path, "body": body, **({"keep": keep} if keep else {})})

    def ask(self, method, path, body=None, **parameters):
        pairs = [(key, item) for key, items in parameters.items() if items is not None
                 for item in (items if isinstance(items, list) else [items])]
        if pairs:
            # Ids of metrics are filled in later, so their braces stay as they are.
            path += "?" + urlencode(pairs, quote_via=quote, safe="{}")
        self.questions.append({"method": method, "path": path, **({} if body is None else {"body": body})})

    # ---- what is in the store

    def fill(self):
        random = self.random
        body, self.ladder, self.methods, self.rates = policy(random, f"policy-{self.seed}")
        self.do("POST", "/v1/archive_policy", body)
        attributes = {"rack": {"type": "string", "required": False}, "size": {"type": "number", "required": False},
                      "live": {"type": "bool", "required": False}, "since": {"type": "datetime", "required": False}}
        self.do("POST", "/v1/resource_type", {"name": self.type, "attributes": attributes})
        self.metrics, self.resources = [], []
        for number in range(random.randint(2, 4)):
            self.resource(number)
        self.step = random.choice([self.ladder[0], self.ladder[0] / 4, self.ladder[0] * 2, self.ladder[-1] / 3])
        self.count = random.choice([0, 1, 5, 20, 40, 60])
        wild, dirty = random.random() < 0.2, random.random() < 0.25
        # What is done with differences across separate runs is no rule but an accident of Gnocchi's storage.
        rounds = 1 if self.rates else random.choice([1, 1, 2, 3])
        begin = BEGIN + timedelta(seconds=random.randint(0, 4000))
        for turn in range(rounds):
            sent = {}
            for number, name in enumerate(self.metrics):
                if random.random() < 0.9:
                    late = timedelta(seconds=self.step * self.count * (turn - random.choice([0, 0, 0, 0.5, 2])))
                    sent["{m%d}" % number] = measures(random, begin + (late if turn else timedelta()), self.count, self.step,
                                                     wild, dirty)
            self.do("POST", "/v1/batch/metrics/measures", sent)
            for number in range(len(self.metrics)):
                # One run of Gnocchi's background work for each round, before the next comes in.
                self.do("GET", "/v1/metric/{m%d}/measures?refresh=true" % number)
        self.begin = begin

    def resource(self, number):
        random = self.random
        names = random.sample(["cpu", "cpu.idle", "disk.read", "disk.write"], random.randint(1, 2))
        typed = random.random() < 0.8
        moment = BEGIN - timedelta(days=random.randint(0, 3), seconds=random.choice([0, 0.25]))
        body = {"id": self.uuid(number), "project_id": self.project, "user_id": random.choice(["ann", "bob", None]),
                "started_at": stamp(moment),
                "metrics": {name: {"archive_policy_name": f"policy-{self.seed}"} for name in names}}
        if random.random() < 0.3:
            body["ended_at"] = stamp(moment + timedelta(days=random.randint(0, 400)))
        if typed:
            body["rack"] = random.choice(["a", "b", "ab", "a_b", "é"])
            body["size"] = random.choice([0, 1, 2.5, -3, 1e9])
            for name, some in (("live", [True, False]), ("since", ["2020-01-01", "2021-06-01T12:00:00"])):
                if random.random() < 0.6:
                    body[name] = random.choice(some)
        kind = self.type if typed else "generic"
        keep = {"m%d" % (len(self.metrics) + offset): "/metrics/" + name for offset, name in enumerate(names)}
        self.do("POST", f"/v1/resource/{kind}", body, keep)
        self.metrics += names
        self.resources.append((body["id"], kind))

    # ---- what is asked

    def edge(self):
        """A moment at or near the measures, written in one of the accepted ways."""
        random = self.random
        moment = self.begin + timedelta(seconds=round(random.uniform(-0.3, 1.3) * self.step * max(self.count, 1), random.choice([0, 0, 3])))
        return random.choice([stamp(moment), str(moment.timestamp()), stamp(moment) + "Z",
                              stamp(moment + timedelta(hours=2)) + "+02:00"])

    def window(self):
        random = self.random
        return {"start": self.edge() if random.random() < 0.4 else None, "stop": self.edge() if random.random() < 0.4 else None}

    def granularity(self):
        random = self.random
        return random.choice([None, None, *self.ladder, *self.ladder, "1 minute", 42, "often"])

    def one_metric(self):
        random = self.random
        method = random.choice(self.methods * 3 + ["sum", "7pct", "nonsense"])
        parameters = {"aggregation": method, "granularity": self.granularity(), **self.window()}
        # Of rates Nephos takes the rate's own method, where Gnocchi takes the difference again.
        if random.random() < 0.35 and not method.startswith("rate:"):
            parameters["resample"] = random.choice([60, 120, 600, 3600, "1 hour", 90, "W", "M", "Q", "H", "Y", "soon"])
            # Gnocchi fails to begin in the middle of a part of the calendar.
            if str(parameters["resample"]) in "WMQHY":
                parameters["start"] = None
        self.ask("GET", "/v1/metric/{m%d}/measures" % random.randrange(len(self.metrics)), **parameters)

    def overlap(self):
        random = self.random
        fill = random.choice([None, None, "dropna", "null", 0, 2.5, "ffill", "bfill", "full_ffill", "full_bfill", "what"])
        return {"fill": fill, "needed_overlap": random.choice([None, None, 0, 50, 100, 33.3, "all"])}

    def many_metrics(self):
        random = self.random
        names = ["{m%d}" % number for number in range(len(self.metrics))]
        body = {"operations": operations(random, names, self.methods)}
        self.ask("POST", "/v1/aggregates", body, granularity=self.granularity(), **self.overlap(), **self.window())

    def many_resources(self):
        random = self.random
        names = random.choice([["cpu"], ["cpu", "disk.read"], ["cpu*"], ["disk.*", "cpu"], ["*"], ["nothing"]])
        # In which order several metrics of a resource come is up to Gnocchi's database, and so which are taken together.
        pairs = not any("*" in name for name in names)
        body = {"operations": operations(random, names, self.methods, pairs), "resource_type": random.choice(["generic", self.type]),
                "search": {"=": {"project_id": self.project}}}
        group = random.choice([None, None, "project_id", ["user_id", "type"], "original_resource_id", "nonsense"])
        self.ask("POST", "/v1/aggregates", body, granularity=self.granularity(), groupby=group, **self.overlap(), **self.window())

    def older_aggregation(self):
        random = self.random
        parameters = {"aggregation": random.choice(self.methods + ["mean"]), "granularity": self.granularity(),
                      **self.overlap(), **self.window()}
        if parameters["aggregation"].removeprefix("rate:") not in ["mean", "median", "std", "min", "max", "sum"]:
            parameters["reaggregation"] = random.choice(["mean", "sum", "max", "min", "std", "median"])
        if random.random() < 0.5:
            some = random.sample(range(len(self.metrics)), random.randint(1, len(self.metrics)))
            self.ask("GET", "/v1/aggregation/metric", metric=["{m%d}" % number for number in some], **parameters)
        else:
            self.ask("POST", f"/v1/aggregation/resource/{random.choice(['generic', self.type])}/metric/cpu",
                     {"=": {"project_id": self.project}}, groupby=random.choice([None, None, "user_id"]), **parameters)

    def values(self):
        random = self.random
        number = random.choice([0, 1, -7.25, 50])
        simple = {random.choice(["=", "≥", "<", "!=", "gt"]): number}
        arithmetic = {random.choice(["≥", "<"]): [{random.choice(["+", "-", "×", "/"]): 2}, number]}
        body = random.choice([simple, arithmetic, {"and": [simple, arithmetic]}, {"∨": [simple, {"=": 0}]}])
        chosen = [random.choice(self.ladder)] if random.random() < 0.6 else None
        self.ask("POST", "/v1/search/metric", body, metric_id=["{m%d}" % random.randrange(len(self.metrics))],
                 aggregation=random.choice(self.methods), granularity=chosen, **self.window())

    def condition(self, depth=2):
        random = self.random
        if depth and random.random() < 0.4:
            if random.random() < 0.3:
                return {"not": self.condition(depth - 1)}
            return {random.choice(["and", "or", "∧", "∨"]): [self.condition(depth - 1) for _ in range(random.randint(1, 3))]}
        return random.choice([
            {random.choice(["=", "!=", "like"]): {"rack": random.choice(["a", "a%", "%b", "a_b", "_"])}},
            {random.choice(["=", "<", ">=", "ne", "≤"]): {"size": random.choice([0, 1, 2.5, "2.5", 1e9, None])}},
            {random.choice(["=", "!="]): {"live": random.choice([True, False, None])}},
            {random.choice(["=", "<", "≥", "!="]): {"since": random.choice(["2020-01-01", "2021-01-01T00:00:00", None])}},
            {random.choice(["=", "<", ">", "ne"]): {"started_at": stamp(BEGIN - timedelta(days=random.randint(0, 3)))}},
            {random.choice(["<", ">", "="]): {"ended_at": random.choice([stamp(BEGIN), "2023-06-01"])}},
            {"in": {"id": [identifier for identifier, _ in random.sample(self.resources, random.randint(1, len(self.resources)))]}},
            {random.choice(["=", "!=", "like"]): {"user_id": random.choice(["ann", "a%", None])}},
            {random.choice(["=", "!="]): {"type": random.choice(["generic", self.type])}},
            {"=": {"nonsense": 1}}, {"<": {"lifespan": "30 days"}}, {"near": {"rack": "a"}}, {"in": {"rack": []}},
        ])

    def search(self):
        random = self.random
        body = {"and": [{"=": {"project_id": self.project}}, self.condition()]}
        sort = random.choice(["id:asc", "id:desc", ["started_at:desc", "id"], ["ended_at:asc-nullsfirst", "id"], "nonsense"])
        # One mistake at a time: of two it is up to the program which it sees first.
        if sort == "nonsense":
            body = {"=": {"project_id": self.project}}
        self.ask("POST", f"/v1/search/resource/{random.choice([self.type, self.type, 'generic'])}", body, sort=sort,
                 limit=random.choice([None, None, None, 1, 1, 2, 2, 0, "many"]), attrs=random.choice([None, None, ["id", "type"]]))

    def filter(self):
        random = self.random
        text = random.choice([
            "rack = a", "rack like 'a%'", "not rack = 'a'", "size > 1 or rack = b", "(size > 1 or rack = b) and not live = true",
            "size in [1, 2.5]", "live = null", "rack != None", "size >=", "rack == a", "started_at < '2023-03-05'", "id = foobar",
            "rack ≠ 'a' ∧ size ≤ 2", "", "'x", "size < 1 and", "lifespan > '1 day'"])
        both = f"project_id = '{self.project}' and ({text})" if text else f"project_id = '{self.project}'"
        self.ask("POST", f"/v1/search/resource/{self.type}", filter=both, sort="id:asc")

    def malformed(self):
        random = self.random
        one = {"timestamp": stamp(BEGIN), "value": 1}
        body = random.choice([
            [{"timestamp": "x", "value": 1}], [{"timestamp": stamp(BEGIN), "value": "x"}], [{"timestamp": stamp(BEGIN)}], {"a": 1},
            [1], [{**one, "value": None}], [{**one, "timestamp": None}], [one, {"timestamp": "1960-01-01", "value": 1}], [], "x", None])
        self.ask("POST", "/v1/metric/{m0}/measures", body if body is not None else "")

    def definition(self):
        random = self.random
        item = {}
        for key, some in (("granularity", [1, "1 minute", "1h30m", 0, -1, "x", 0.25]), ("points", [1, 60, 0, "x", 3.5]),
                          ("timespan", ["1 hour", 3600, "7 days", "2 days, 4:13:02", 10])):
            if random.random() < 0.6:
                item[key] = random.choice(some)
        body = {"name": f"asked-{self.seed}-{len(self.questions)}", "definition": [item]}
        if random.random() < 0.3:
            body["definition"] = [{"granularity": 60, "points": 10}]
            body["aggregation_methods"] = random.choice([["mean"], ["-mean"], ["+95pct"], ["*"], ["rate:mean", "last"], ["what"], []])
        self.ask("POST", "/v1/archive_policy", body)

    def make(self, count):
        self.fill()
        kinds = [self.one_metric] * 8 + [self.many_metrics] * 10 + [self.many_resources] * 5 + [self.older_aggregation] * 4 + [
            self.values] * 2 + [self.search] * 4 + [self.filter, self.malformed, self.definition]
        while len(self.questions) < count:
            self.random.choice(kinds)()
        return {"seed": self.seed, "setup": self.setup, "questions": self.questions}


def scene(seed, questions):
    """The scene of a seed, with that many questions."""
    return Scene(seed).make(questions)
