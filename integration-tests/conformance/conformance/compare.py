"""The same random requests to Nephos and to a real Gnocchi."""
import json
import os
import socket
import subprocess
import tempfile
import time

from . import playing
from .scenes import scene
from .server import Api, BACKENDS, Nephos

SERVER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "benches", "compare", "gnocchi-server")
QUESTIONS = 16


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Gnocchi:
    """A real Gnocchi from PyPI, on an empty store."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="gnocchi-")
        os.chmod(self.folder, 0o755)
        self.ports = [str(free_port()), str(free_port())]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self._server("start")
        end, api = time.monotonic() + 120, Api(self.url, timeout=5)
        while api.send("GET", "/v1/status")[0] != 200:
            if time.monotonic() > end:
                raise RuntimeError(f"Gnocchi does not answer; see {self.folder}")
            time.sleep(0.2)
        return self

    def _server(self, action):
        subprocess.run([SERVER, action, self.folder, *self.ports], check=True)

    def __exit__(self, *_):
        self._server("stop")
        subprocess.run(["rm", "-rf", self.folder], check=False)


def show(scene_, question, gnocchi, nephos):
    print(f"seed {scene_['seed']}: {question['method']} {question['path']} {json.dumps(question.get('body'), ensure_ascii=False)[:600]}")
    print(f"    gnocchi {json.dumps(gnocchi, ensure_ascii=False)[:600]}\n    nephos  {json.dumps(nephos, ensure_ascii=False)[:600]}")


def main(options):
    """Prints every difference; 1 if there is one. With `--record` writes the scenes with Gnocchi's answers."""
    backend, equality = BACKENDS[options.backend](), playing.Equality()
    cases = different = failed = 0
    recorded = []
    with backend, Gnocchi() as gnocchi, Nephos(options.nephos, backend, API__MAX_LIMIT="1000") as nephos:
        # Gnocchi hangs for a minute where it fails: nobody waits that long here.
        theirs, ours = Api(gnocchi.url, timeout=10), Api(nephos.url)
        began = time.monotonic()
        for seed in range(options.seed, options.seed + (options.cases + QUESTIONS - 1) // QUESTIONS):
            played = scene(seed, QUESTIONS)
            expected, got = playing.play(theirs, played), playing.play(ours, played)
            for question, left, right in zip(played["questions"], expected, got):
                cases += 1
                failed += playing.failed(left)
                if not playing.agree(question, left, right, equality):
                    different += 1
                    show(played, question, left, right)
            recorded.append({**played, "answers": expected})
            if seed % 20 == 19:
                print(f"{cases} cases, {different} different, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{cases} cases: {cases - different} alike, {different} different; Gnocchi failed to answer {failed}\n"
          f"numbers: {equality.exact} equal in every bit, {equality.near} within 1e-12")
    if options.record:
        with open(options.record, "w", encoding="utf-8") as target:
            for played in recorded:
                target.write(json.dumps(played, ensure_ascii=False, separators=(",", ":")) + "\n")
    return 1 if different else 0
