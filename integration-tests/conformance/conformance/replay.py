"""Recorded scenes with Gnocchi's answers, asked of Nephos again. Runs without a Gnocchi."""
import json
import os

from . import playing
from .compare import show
from .server import Api, BACKENDS, Nephos

RECORDED = os.path.join(os.path.dirname(__file__), "..", "recorded.jsonl")


def main(options):
    equality, cases, different = playing.Equality(), 0, 0
    backends = list(BACKENDS) if options.backend == "both" else [options.backend]
    for key in backends:
        with BACKENDS[key]() as backend, Nephos(options.nephos, backend, API__MAX_LIMIT="1000") as nephos:
            api = Api(nephos.url)
            with open(options.recorded, encoding="utf-8") as lines:
                for played in map(json.loads, lines):
                    for question, left, right in zip(played["questions"], played["answers"], playing.play(api, played)):
                        cases += 1
                        if not playing.agree(question, left, right, equality):
                            different += 1
                            show(played, question, left, right)
    print(f"{cases} recorded cases: {cases - different} alike, {different} different\n"
          f"numbers: {equality.exact} equal in every bit, {equality.near} within 1e-12")
    return 1 if different or not cases else 0
