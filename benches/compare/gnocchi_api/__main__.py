"""Measures and prints: see `python -m gnocchi_api --help`."""
import argparse
import json
import os
import signal
import sys

from . import report
from .load import Load, sequential
from .servers import Gnocchi, Nephos
from .work import KINDS, ROUND, Work


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/api", description=__doc__)
    parser.add_argument("--nephos", required=True, help="the release binary")
    parser.add_argument("--load", required=True, help="load.rs, compiled")
    parser.add_argument("--index", choices=["sqlite", "postgresql", "both"], default="both", help="of Nephos [both]")
    parser.add_argument("--only", help="kinds of requests, joined by commas: " + ",".join(kind[0] for kind in KINDS))
    parser.add_argument("--without-gnocchi", action="store_true", help="measure Nephos alone")
    parser.add_argument("--populate", type=int, default=0, metavar="N", help="resources of 10 metrics put into Nephos's index before [0]")
    parser.add_argument("--populate-gnocchi", type=int, default=0, metavar="N", help="the same for Gnocchi, 40 ms each [0]")
    parser.add_argument("--connections", type=int, default=64, help="clients at a time [%(default)s]")
    parser.add_argument("--seconds", type=float, default=5, help="for each kind of request [%(default)s]")
    parser.add_argument("--gnocchi-seconds", type=float, default=10, help="the same for Gnocchi [%(default)s]")
    parser.add_argument("--quick", action="store_true", help="1 s for each, 4 s for Gnocchi")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", required=True, help="folder for the servers' data, on the disk to measure")
    parser.add_argument("--keep", action="store_true", help="leave the data")
    parser.add_argument("--out", required=True, help="folder for gnocchi_api.json and gnocchi_api.md")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.gnocchi_seconds = 1, 4
    return args


def measure(args, server, load, populate):
    """Every kind of request against one server: µs of CPU for each, by part."""
    is_gnocchi = isinstance(server, Gnocchi)
    seconds = args.gnocchi_seconds if is_gnocchi else args.seconds
    work = Work(args.seed, populate)
    work.fill(server, load, populate)
    print(f"{server.name}: filled", file=sys.stderr, flush=True)
    rows = {}
    for kind, name, _, prepared in KINDS:
        if args.only and kind not in args.only.split(","):
            continue
        make = getattr(work, kind)
        # A server's first requests of a kind pay for what later ones find ready.
        warm = load.run(server, make(8 if is_gnocchi else 512), args.connections, 60)
        server.idle()
        count = ROUND if prepared is None else max(64, int(prepared[is_gnocchi] * seconds))
        requests = list(make(count))
        before = server.cpu()
        outcome = load.run(server, requests, args.connections, seconds, again=prepared is None)
        server.idle()
        # What processes measures wakes up every second, whether there are any or not.
        used = {part: cpu - before[part] for part, cpu in server.cpu().items() if part != "later" or kind.startswith("post")}
        answered = outcome["answered"]
        if not answered or outcome["failed"] or warm["failed"]:
            raise RuntimeError(f"{server.name}: {name}: {outcome} {warm}")
        rows[kind] = {"requests": answered, "per_second": answered / outcome["seconds"], "median_us": outcome["median_us"],
                      "p99_us": outcome["p99_us"], "cpu_us": {part: cpu / answered * 1e6 for part, cpu in used.items()}}
        print(f"{server.name}: {name}: {rows[kind]}", file=sys.stderr, flush=True)
    result = {"rows": rows, "populated": populate}
    if not is_gnocchi and not args.only:
        post, sync = sequential(load, server, work)
        result["sequential"] = {"post_us": post, "fsync_us": sync}
    return result


def main():
    # Whoever ends this ends the servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = arguments()
    load, results = Load(args.load), {}
    indexes = {"sqlite": ["SQLite"], "postgresql": ["PostgreSQL"], "both": ["SQLite", "PostgreSQL"]}[args.index]
    servers = [(Nephos(args, index), args.populate) for index in indexes]
    if not args.without_gnocchi:
        servers.append((Gnocchi(args), args.populate_gnocchi))
    os.makedirs(args.work, exist_ok=True)
    for server, populate in servers:
        with server:
            results[server.name] = measure(args, server, load, populate)
    text = report.table(results, args)
    print(text)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "gnocchi_api.json"), "w", encoding="utf-8") as target:
        json.dump(results, target, indent=1)
    with open(os.path.join(args.out, "gnocchi_api.md"), "w", encoding="utf-8") as target:
        target.write(text + "\n")


if __name__ == "__main__":
    main()
