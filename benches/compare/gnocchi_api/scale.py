"""What a live point costs through HTTP, with few metrics and with many."""
import argparse
import os
import subprocess
import sys
import time
import types

from gnocchi_api.servers import AUTHORIZATION, Nephos

METERS = 20


def status(pid, key):
    """A figure of /proc/PID/status in MiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024


def settled(server):
    """CPU seconds once the server has nothing left to do."""
    before = server.cpu()["server"]
    while True:
        time.sleep(1)
        after = server.cpu()["server"]
        if after - before < 0.03:
            return after
        before = after


def measure(args, instances, readings):
    """CPU seconds a million points; figures of one size are printed as they come."""
    metrics = instances * METERS
    options = types.SimpleNamespace(nephos=args.nephos, work=args.work, keep=False)
    with Nephos(options, "SQLite") as server:
        client = [args.readings, f"127.0.0.1:{server.port}", AUTHORIZATION]
        ids = os.path.join(server.folder, "ids")
        began = time.time()
        subprocess.run(client + ["create", ids, str(instances)], check=True)
        print(f"{metrics:,} metrics: created in {time.time() - began:.0f} s", file=sys.stderr, flush=True)
        # Of the first reading each metric is new to the store and to the cache of the index: it is not what polling costs.
        subprocess.run(client + ["send", ids, "0", "1"], check=True)
        cpu, began = settled(server), time.time()
        subprocess.run(client + ["send", ids, "1", str(readings + 1)], check=True)
        took = time.time() - began
        points = metrics * readings / 1e6
        cost = (settled(server) - cpu) / points
        peak, now = status(server.process.pid, "VmHWM"), status(server.process.pid, "VmRSS")
        print(f"| {metrics:,} | {readings} | {cost:.3f} | {points / took * 1e6:,.0f} | {peak:,.0f} | {now:,.0f} |", flush=True)
        return cost


def main():
    parser = argparse.ArgumentParser(prog="benches/compare/scale", description=__doc__)
    parser.add_argument("--nephos", required=True, help="the binary")
    parser.add_argument("--readings", required=True, help="the client, compiled")
    parser.add_argument("--work", required=True, help="folder for what servers write; several GiB for a million metrics")
    parser.add_argument("--instances", type=int, default=50_000, help="of the large size; the small one has 1,000")
    parser.add_argument("--rounds", type=int, default=70, help="readings of the large size (default: %(default)s)")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    print("| metrics | readings | CPU s/Mpoint | points/s | peak resident, MiB | at the end |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    small = measure(args, 1_000, 130)
    large = measure(args, args.instances, args.rounds)
    print(f"\nA point costs {large / small:.2f} times as much.")


if __name__ == "__main__":
    main()
