"""Compares Nephos with its peers on the same work, in one run, and prints a table of figures and ratios.

  benches/compare/run --quick
  benches/compare/run --instances 1000 --hours 6 --systems nephos,victoria
"""
import argparse
import json
import os
import platform
import signal
import sys
import time

from .phases import log, one
from .report import markdown
from .systems import SYSTEMS
from .workload import Workload

QUICK = {"instances": 100, "hours": 2.0, "days": 10, "wide": 200, "slow_instances": 5, "slow_hours": 0.2, "slow_days": 3,
         "slow_wide": 20, "settle": 3.0, "settle_limit": 8.0, "query_seconds": 1.0, "query_limit": 15.0}


def arguments():
    p = argparse.ArgumentParser(prog="benches/compare/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="small sizes: about five minutes once everything is installed")
    p.add_argument("--systems", default=",".join(SYSTEMS), help="default: %(default)s")
    p.add_argument("--nephos", default="nephos", help="binary to start")
    p.add_argument("--reference", default="gnocchi", help="what the ratios refer to (default %(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--instances", type=int, default=100, help="each has 20 meters (default %(default)s)")
    p.add_argument("--hours", type=float, default=2.0, help="of live writing (default %(default)s)")
    p.add_argument("--days", type=int, default=30, help="of one instance, for the long query (default %(default)s)")
    p.add_argument("--wide", type=int, default=1000, help="series of the mean (default %(default)s)")
    p.add_argument("--interval", type=int, default=60, help="seconds between points (default %(default)s)")
    p.add_argument("--request-points", type=int, default=5000, help="points of a request (default %(default)s)")
    p.add_argument("--wide-points", type=int, default=30, help="points a series in a wide request (default %(default)s)")
    p.add_argument("--connections", type=int, default=2, help="writers in the live phase (default %(default)s)")
    for name, kind, default in (("instances", int, 20), ("hours", float, 0.5), ("days", int, 10), ("wide", int, 100)):
        p.add_argument(f"--slow-{name}", type=kind, default=default,
                       help=f"{name} for Gnocchi, whose CPU a point does not depend on it (default %(default)s)")
    p.add_argument("--query-seconds", type=float, default=5.0, help="each query is repeated so long (default %(default)s)")
    p.add_argument("--query-limit", type=float, default=60.0, help="then it ends even before 20 runs (default %(default)s)")
    p.add_argument("--settle", type=float, default=15.0,
                   help="seconds for background work after compaction, its CPU counted (default %(default)s)")
    p.add_argument("--settle-limit", type=float, default=180.0, help="seconds to wait for compaction (default %(default)s)")
    p.add_argument("--work", default="/var/tmp/nephos-compare",
                   help="folder for the servers' data, emptied at each start (default %(default)s)")
    p.add_argument("--out", default=os.path.join(os.environ["COMPARE_TOOLS"], "result"), help="writes OUT.json and OUT.md")
    p.add_argument("--debug", action="store_true", help="stop at the first error, with its trace")
    # Sizes given by hand win over those of --quick.
    quick, _ = p.parse_known_args()
    if quick.quick:
        p.set_defaults(**QUICK)
    args = p.parse_args()
    args.systems = args.systems.split(",")
    unknown = set(args.systems) - set(SYSTEMS)
    if unknown:
        p.error(f"unknown systems: {', '.join(sorted(unknown))}; known: {', '.join(SYSTEMS)}")
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the servers are stopped
    # Data ends in the recent past, since retention looks at the clock.
    end = int(time.time()) // 3600 * 3600 - 600
    common = {"seed": args.seed, "interval": args.interval, "request_points": args.request_points,
              "wide_points": args.wide_points, "end": end}
    size = {"instances": args.instances, "hours": args.hours, "days": args.days, "wide": args.wide}
    slow = {"instances": args.slow_instances, "hours": args.slow_hours, "days": args.slow_days, "wide": args.slow_wide}
    os.makedirs(args.work, mode=0o755, exist_ok=True)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    document = {"when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "systems": {},
                "machine": {"cpus": os.cpu_count(), "cpu": cpu, "kernel": platform.release()},
                "args": {k: v for k, v in vars(args).items() if k not in ("work", "out", "nephos")}}
    built = {}
    for name in args.systems:
        chosen = slow if SYSTEMS[name].slow else size
        key = tuple(chosen.items())
        if key not in built:
            workload = Workload(**common, **chosen)
            log("generate", workload.totals())
            built[key] = workload.build()
        document["systems"][name] = one(name, args, built[key])
        with open(args.out + ".json", "w") as f:
            json.dump(document, f, indent=1)
        with open(args.out + ".md", "w") as f:
            f.write(markdown(document))
    print(markdown(document))
    failed = [name for name, result in document["systems"].items() if "error" in result]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
