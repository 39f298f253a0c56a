"""Gnocchi's functional suites, as its package on PyPI ships them, over HTTP against a started Nephos."""
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
import types
import unittest
import warnings
from concurrent.futures import ProcessPoolExecutor

import yaml
from gabbi import driver, fixture
from gabbi.exception import GabbiSyntaxWarning

from .server import BACKENDS, Nephos

# What the package of the pinned version holds. Fewer means that some were not found, which must not pass for success.
FILES, TESTS = 28, 671
# Expected to fail there because of a fault of Gnocchi's web framework; the right answer is no failure here.
BETTER_THAN_EXPECTED = "ping influxdb status with head"


class NotANumber:
    """What `!AssertNAN` in a suite compares answers with."""

    def __eq__(self, other):
        return isinstance(other, float) and other != other

    def __repr__(self):
        return "NaN"


for _loader in (yaml.Loader, yaml.FullLoader, yaml.UnsafeLoader):
    yaml.add_constructor("!AssertNAN", lambda loader, node: NotANumber(), Loader=_loader)


def folder():
    """Where the suites lie in the installed package."""
    package = list(importlib.util.find_spec("gnocchi").submodule_search_locations)[0]
    return os.path.join(package, "tests", "functional", "gabbits")


def names():
    return sorted(name for name in os.listdir(folder()) if name.endswith(".yaml"))


class Outcomes(unittest.TestResult):
    """One `(name, passed, why)` for each test."""

    def __init__(self):
        super().__init__()
        self.outcomes = []

    def _note(self, test, passed, why=""):
        name = test.test_data["name"] if hasattr(test, "test_data") else str(test)
        self.outcomes.append((name, passed, why))

    def addSuccess(self, test):
        self._note(test, True)

    def addFailure(self, test, err):
        self._note(test, False, self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self._note(test, False, f"skipped: {reason}")

    def addExpectedFailure(self, test, err):
        self._note(test, True)

    def addUnexpectedSuccess(self, test):
        name = test.test_data["name"]
        self._note(test, name.endswith(BETTER_THAN_EXPECTED), "was expected to fail")


def _fixtures():
    """The suites name a fixture that starts Gnocchi inside the test; here a server is running already."""
    module = types.ModuleType("running_server")
    module.ConfigFixture = type("ConfigFixture", (fixture.GabbiFixture,), {})
    return module


def _load(name, url, into):
    """One suite for the server at `url`. It expects to be served below `/gnocchi`, and Nephos serves at the root."""
    for entry in os.scandir(folder()):
        if entry.is_dir():
            shutil.copytree(entry.path, os.path.join(into, entry.name))
    with open(os.path.join(folder(), name), encoding="utf-8") as source:
        text = source.read().replace("http://foobar/gnocchi/", "http://foobar/")
    with open(os.path.join(into, name), "w", encoding="utf-8") as target:
        target.write(text)
    return driver.build_tests(into, unittest.TestLoader(), url=url, fixture_module=_fixtures(), safe_yaml=False,
                              test_loader_name="conformance", cert_validate=False)   # plain HTTP: no certificates to load


def run_file(binary, backend, name):
    """Runs one file on a store of its own; `(name, seconds, outcomes)`."""
    warnings.simplefilter("ignore", GabbiSyntaxWarning)
    began, result = time.monotonic(), Outcomes()
    with Nephos(binary, backend) as nephos, tempfile.TemporaryDirectory() as copies:
        suite = _load(name, nephos.url, copies)
        printed, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
        try:
            suite.run(result)
        finally:
            sys.stdout = printed
        outcomes = result.outcomes
        if nephos.process.poll() is not None:
            outcomes.append(("Nephos runs on", False, nephos.log()))
    return name, time.monotonic() - began, outcomes


def run(binary, backend, wanted, jobs, verbose):
    """Runs files, some at a time, and prints a table; `(passed, failed, report)`."""
    print(f"\nGnocchi's functional suites on {backend.name}\n{'file':<36} {'passed':>6} {'failed':>6} {'s':>6}", flush=True)
    passed = failed = 0
    report = {}
    with backend, ProcessPoolExecutor(jobs) as pool:
        for name, seconds, outcomes in pool.map(run_file, *zip(*((binary, backend, name) for name in wanted))):
            bad = [outcome for outcome in outcomes if not outcome[1]]
            good = len(outcomes) - len(bad)
            passed, failed = passed + good, failed + len(bad)
            print(f"{name:<36} {good:>6} {len(bad):>6} {seconds:>6.1f}", flush=True)
            for test, _, why in bad:
                print(f"    failed: {test}")
                if verbose:
                    print("        " + why.strip()[-1500:].replace("\n", "\n        "))
            report[name] = [{"test": test, "passed": ok, "why": why} for test, ok, why in outcomes]
    print(f"{passed} passed, {failed} failed of {passed + failed} in {len(report)} files on {backend.name}", flush=True)
    return passed, failed, report


def main(options):
    everything = names()
    wanted = [name for name in everything if not options.only or name.removesuffix(".yaml") in options.only.split(",")]
    if not wanted:
        raise SystemExit(f"no file of that name; there are {' '.join(everything)}")
    backends = list(BACKENDS) if options.backend == "both" else [options.backend]
    began, worst, reports = time.monotonic(), 0, {}
    for key in backends:
        passed, failed, reports[key] = run(options.nephos, BACKENDS[key](), wanted, options.jobs, options.verbose)
        if not options.only and (len(wanted), passed + failed) != (FILES, TESTS):
            print(f"expected {TESTS} tests in {FILES} files: the package is not the one this was written for")
            worst = 1
        worst = max(worst, min(failed, 1))
    print(f"took {time.monotonic() - began:.0f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as target:
            json.dump(reports, target, indent=1)
    return worst
