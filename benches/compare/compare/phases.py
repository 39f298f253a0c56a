"""What is done with one system: write, settle, read, crash. All figures are those of the server's process tree."""
import os
import random
import sys
import threading
import time

from .systems import SYSTEMS
from .workload import CPU, DAY, MEMORY, N_METERS


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, round(p / 100 * (len(values) - 1)))]


def send_all(system, bodies_of_connections):
    """Each connection sends its bodies in order. Returns the wall seconds until the last acknowledgement."""
    connections, errors = [system.connect() for _ in bodies_of_connections], []

    def work(connection, bodies):
        try:
            for body in bodies:
                system.send(connection, body)
        except Exception as e:
            errors.append(e)
    threads = [threading.Thread(target=work, args=pair) for pair in zip(connections, bodies_of_connections)]
    began = time.time()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wall = time.time() - began
    for c in connections:
        c.close()
    if errors:
        raise errors[0]
    return wall


def ingest(system, workload, label, bodies_of_connections, points, expected):
    """Sends a phase; it ends when each of the `expected` points can be read back with the right value."""
    cpu, began = system.tree.cpu(), time.time()
    acknowledged = send_all(system, bodies_of_connections)
    connection, seen = system.connect(), 0
    for m, t, value in expected:
        seen += bool(system.has_point(connection, workload, m, t, value))
    if seen < len(expected):
        system.wait_visible(workload, expected)
    visible, cpu = time.time() - began, system.tree.cpu() - cpu
    out = {"points": points, "requests": sum(map(len, bodies_of_connections)),
           "wire_bytes_per_point": round(sum(len(b) for bodies in bodies_of_connections for b in bodies) / points, 2),
           "acknowledged_s": round(acknowledged, 3), "points_per_s": round(points / acknowledged),
           "visible_after_s": round(visible - acknowledged, 3), "first_reads_right": f"{seen}/{len(expected)}",
           "cpu_s": round(cpu, 2), "cpu_s_per_mpoint": round(cpu / points * 1e6, 3), "load1": os.getloadavg()[0]}
    log(f"  {system.name} {label}: {out['points_per_s']:,} points/s, {out['cpu_s_per_mpoint']} CPU s/Mpoint")
    return out


def expected_points(workload, rng, tick, series, count=20):
    return [workload.point(m, tick) for m in rng.sample(series, min(count, len(series)))]


def write(system, workload, args, rng):
    """All three phases; a phase's bodies are encoded before its clock starts."""
    totals, out = workload.totals(), {}
    bodies = [[system.encode(workload, b) for b in workload.history()]]
    last = workload.ticks_history - workload.ticks_day - 1
    expected = [(k, int(workload.times0[last]), float(workload.values0[k][last])) for k in range(N_METERS)]
    out["history"] = ingest(system, workload, "history", bodies, totals["history"], expected)
    if totals["wide"]:
        bodies = [[system.encode(workload, b) for b in workload.wide_batches()]]
        expected = expected_points(workload, rng, workload.ticks_day - workload.ticks_live - 1, workload.wide_series())
        out["wide"] = ingest(system, workload, "wide", bodies, totals["wide"], expected)
    bodies = [[system.encode(workload, b) for b in batches] for batches in workload.live(args.connections)]
    expected = expected_points(workload, rng, workload.ticks_day - 1, workload.series())
    out["live"] = ingest(system, workload, "live", bodies, totals["live"], expected)
    return out


def settle(system, ingests, points, seconds):
    """Background work counts: CPU of all phases and of settling, by point."""
    cpu, out = system.tree.cpu(), {}
    try:
        system.settle()
    except (RuntimeError, TimeoutError) as e:
        out["note"] = str(e).splitlines()[0]
        log(f"  {system.name} settle: {e}")
    time.sleep(seconds)
    out["cpu_s"] = round(system.tree.cpu() - cpu, 2)
    out["cpu_s_per_mpoint_with_ingest"] = round((out["cpu_s"] + sum(i["cpu_s"] for i in ingests)) / points * 1e6, 3)
    return out


def queries(system, workload, args):
    """Each query runs at least 20 times and on until its seconds are over; windows and metrics move between runs.

    `points_read` is what the answer is made from; it makes figures of different sizes of work comparable."""
    rng, end = random.Random(args.seed), workload.end
    moved = lambda room: rng.randrange(0, max(room, 1), 300)
    window = lambda offset: (end - 6 * 3600 - offset, end - offset)
    day, six_hours = workload.ticks_day, 6 * 3600 // workload.interval
    points_read = {"one": workload.days * day, "mean": workload.wide * day,
                   "rate": workload.rate_instances * six_hours, "panel": N_METERS * six_hours}
    plan = {
        "one": lambda: (system.read_one, (rng.randrange(N_METERS), end - workload.days * DAY, end)),
        "mean": lambda: (system.read_mean, (MEMORY, workload.wide, end - DAY, end, 300)),
        "rate": lambda: (system.read_rate, (CPU, workload.rate_instances, *window(moved(18 * 3600)))),
        "panel": lambda: (system.read_panel, (0, *window(moved((workload.days - 1) * DAY)))),
    }
    connection, out = system.connect(), {}
    for name, choose in plan.items():
        try:
            read, arguments = choose()
            points = read(connection, workload, *arguments, count=True)
            times, size, cpu, began = [], 0, system.tree.cpu(), time.time()
            while len(times) < 20 or time.time() - began < args.query_seconds:
                read, arguments = choose()
                start = time.perf_counter()
                size = read(connection, workload, *arguments)
                times.append(time.perf_counter() - start)
                if time.time() - began > args.query_limit:
                    break
            cpu = system.tree.cpu() - cpu
            out[name] = {"points": points, "points_read": points_read[name], "runs": len(times),
                         "p50_ms": round(percentile(times, 50) * 1e3, 2), "p95_ms": round(percentile(times, 95) * 1e3, 2),
                         "cpu_ms": round(cpu / len(times) * 1e3, 3), "answer_bytes": size}
        except Exception as e:
            out[name] = {"error": str(e)[:300]}
        log(f"  {system.name} {name}: {out[name]}")
    connection.close()
    return out


def crash(system, workload, rng):
    """Kills the server without warning, and times until all checked points can be read again."""
    expected = expected_points(workload, rng, workload.ticks_day - 1, workload.series())
    system.kill()
    began = time.time()
    system.launch()
    system.wait_visible(workload, expected)
    return {"ready_s": round(time.time() - began, 3), "resident": system.tree.resident()}


def one(name, args, workload):
    """Everything with one system; an error ends this system only and stands in the result."""
    system, rng = SYSTEMS[name](args), random.Random(args.seed)
    totals = workload.totals()
    out = {"durable": system.durable, "instances": workload.instances, "hours": workload.hours, "days": workload.days,
           "wide": workload.wide, "totals": totals, "load1_before": os.getloadavg()[0]}
    points = totals["history"] + totals["wide"] + totals["live"]
    try:
        log(name, "start")
        system.start()
        out["version"] = system.version()
        began, cpu = time.time(), system.tree.cpu()
        system.prepare(workload)
        out["prepare"] = {"s": round(time.time() - began, 2), "cpu_s": round(system.tree.cpu() - cpu, 2)}
        out["ingest"] = write(system, workload, args, rng)
        out["settle"] = settle(system, out["ingest"].values(), points, args.settle)
        disk = out["disk"] = system.disk()
        disk["bytes_per_point"] = round(disk["apparent"] / points, 3)
        disk["bytes_per_point_allocated"] = round(disk["allocated"] / points, 3)
        log(f"  {name} disk: {disk}")
        out["resident_peak_ingest"] = system.tree.peak
        out["queries"] = queries(system, workload, args)
        out["resident_peak"] = system.tree.peak
        try:
            out["crash"] = crash(system, workload, rng)
            log(f"  {name} crash: {out['crash']}")
        except NotImplementedError:
            pass
    except Exception as e:
        out["error"] = f"{type(e).__name__}: {e}"[:500]
        log(name, "FAILED", out["error"])
        if args.debug:
            raise
    finally:
        out["load1_after"] = os.getloadavg()[0]
        system.stop()
        log(name, "stopped")
    return out
