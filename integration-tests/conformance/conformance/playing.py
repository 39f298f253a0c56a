"""Playing scenes to a server, and telling answers apart."""
import json
import math
import re

# What each server sets by its own clock.
OWN = {"revision_start", "revision_end"}


class Setup(Exception):
    """A scene could not be set up."""


def _fill(value, ids):
    if value is None:
        return None
    text = json.dumps(value)
    for name, identifier in ids.items():
        text = text.replace("{%s}" % name, identifier)
    return json.loads(text)


def _plain(value, names):
    """An answer without what differs between two servers that do the same: ids of metrics, their own clock, the order of sets."""
    if isinstance(value, dict):
        plain = {names.get(key, key): _plain(item, names) for key, item in value.items() if key not in OWN}
        if isinstance(plain.get("aggregation_methods"), list):
            plain["aggregation_methods"].sort()
        return plain
    if isinstance(value, list):
        return [_plain(item, names) for item in value]
    if isinstance(value, str):
        for identifier, name in names.items():
            value = value.replace(identifier, name)
    return value


def play(api, scene):
    """Plays a scene; `[status, body]` of each question."""
    ids = {}
    for request in scene["setup"]:
        path = _fill(request["path"], ids)
        status, answer = api.send(request["method"], path, _fill(request["body"], ids))
        if status // 100 != 2:
            raise Setup(f"{request['method']} {path} of scene {scene['seed']}: {status} {answer}")
        for name, pointer in request.get("keep", {}).items():
            found = answer
            for part in pointer.strip("/").split("/"):
                found = found[part]
            ids[name] = found
    names = {identifier: "{%s}" % name for name, identifier in ids.items()}
    answers = []
    for question in scene["questions"]:
        status, answer = api.send(question["method"], _fill(question["path"], ids), _fill(question.get("body"), ids))
        answers.append([status, _plain(answer, names)])
    return answers


def _largest(value):
    """The largest finite number of an answer."""
    if isinstance(value, dict):
        return max(map(_largest, value.values()), default=0.0)
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    return abs(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


class Equality:
    """Compares answers, and counts how numbers were equal: in every bit, or within 1e-12 of their size.

    In two cases it is within 1e-12 of the largest number of the answer. Of percentiles Gnocchi computes the place between
    two values of a bucket after adding how many values lie in the buckets before, and so loses bits that Nephos keeps. And
    the older way to aggregate adds series up in the order of their metrics' ids, which each server makes by chance.
    """

    def __init__(self):
        self.exact = self.near = 0
        self.slack = 0.0

    def numbers(self, left, right):
        if left == right or (math.isnan(left) and math.isnan(right)):
            self.exact += 1
            return True
        if math.isclose(left, right, rel_tol=1e-12, abs_tol=self.slack):
            self.near += 1
            return True
        return False

    def answers(self, question, left, right):
        by_chance = "pct" in json.dumps(question) or question["path"].startswith("/v1/aggregation/")
        self.slack = 1e-12 * _largest(left) if by_chance else 0.0
        return self.same(left, right)

    def same(self, left, right):
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return self.numbers(left, right)
        if isinstance(left, dict) and isinstance(right, dict):
            return left.keys() == right.keys() and all(self.same(left[key], right[key]) for key in left)
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(self.same, left, right))
        return left == right


def failed(answer):
    """Whether Gnocchi failed instead of answering: behind its web server that closes the connection, or hangs."""
    return answer[0] == 0 or answer[0] >= 500


# Texts that go on with how the program is written inside; only their beginnings are told to clients.
OPEN_ENDED = ["Invalid filter: Expected", "Can't compute timeseries with different granularity", "Expected '(', found"]


def _gist(value):
    """Of a refusal, what it refuses. Lists inside it may come in any order, and which one of several metrics that are no
    good is named is up to chance."""
    if isinstance(value, dict):
        return {key: _gist(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(json.dumps(_gist(item), sort_keys=True) for item in value)
    if isinstance(value, str):
        for beginning in OPEN_ENDED:
            if value.startswith(beginning):
                return beginning
        return re.sub(r"\{m\d+\}", "{m}", value)
    return value


def _better(gnocchi, nephos):
    """Where Nephos is meant to answer otherwise: a search among the values of a metric without any finds none, where
    Gnocchi says that the metric does not exist."""
    description = gnocchi[1].get("description") if isinstance(gnocchi[1], dict) else None
    if isinstance(description, dict) and description.get("cause") == "Metric does not exist":
        return nephos[0] == 200 and not any(nephos[1].values())
    return False


def agree(question, gnocchi, nephos, equality):
    """Whether Nephos answers as Gnocchi does. Where Gnocchi fails, any answer that is no failure will do."""
    if failed(gnocchi):
        return not failed(nephos)
    if gnocchi[0] != nephos[0]:
        return _better(gnocchi, nephos)
    if gnocchi[0] >= 400:
        return _gist(gnocchi[1]) == _gist(nephos[1])
    return equality.answers(question, gnocchi[1], nephos[1])
