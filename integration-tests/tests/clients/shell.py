"""Runs commands of the `gnocchi` client in one process: the start of Python for each would take most of the time.

A line in is a JSON list of arguments, a line out `[status, standard output, standard error]`. The first line out is the
list of all commands there are, those for the `openstack` client included.
"""
import contextlib
import io
import json
import logging
import sys
import warnings
from importlib.metadata import entry_points

warnings.simplefilter("ignore")
import futurist  # noqa: E402
from gnocchiclient import benchmark, shell  # noqa: E402

# The benchmark commands share their work among processes, to which Python 3 cannot hand their connections over: they fail
# before they send anything, to any server. Threads can do the same work.
_methods = {name: method for name, method in vars(benchmark.BenchmarkPool).items() if callable(method) or name == "_percentile"}
benchmark.BenchmarkPool = type("BenchmarkPool", (futurist.ThreadPoolExecutor,), _methods)


def run(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = shell.main(arguments)
        except SystemExit as end:
            status = end.code
    # Each run adds a handler that writes to where this run's errors went.
    for handler in list(logging.getLogger("").handlers):
        logging.getLogger("").removeHandler(handler)
    return [status or 0, out.getvalue(), err.getvalue()]


# The `openstack` client has the same commands by other names: `metric_resource_list`, `metric_show`.
own = {command: name for name, command in shell.GnocchiCommandManager.SHELL_COMMANDS.items()}
plugged = [own.get(entry.load(), entry.name) for entry in entry_points(group="openstack.metric.v1")]
answers = sys.stdout
print(json.dumps(sorted({*own.values(), *plugged})), file=answers, flush=True)
for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), file=answers, flush=True)
