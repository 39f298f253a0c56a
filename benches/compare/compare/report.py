"""The result as Markdown: what was measured, then how many times better than the reference."""

# title, path in a system's result, format, which way is better (None: no ratio)
ROWS = [
    ("live (1 point a series a request), CPU s/Mpoint", "ingest.live.cpu_s_per_mpoint", "{:,.2f}", "low"),
    ("live, points/s acknowledged", "ingest.live.points_per_s", "{:,.0f}", "high"),
    ("live, last acknowledgement to visible, s", "ingest.live.visible_after_s", "{:,.2f}", "low"),
    ("live, first reads after it that were right", "ingest.live.first_reads_right", "{}", None),
    ("bulk (250 points a series a request), CPU s/Mpoint", "ingest.history.cpu_s_per_mpoint", "{:,.2f}", "low"),
    ("bulk, points/s acknowledged", "ingest.history.points_per_s", "{:,.0f}", "high"),
    ("bulk (30 points a series a request), CPU s/Mpoint", "ingest.wide.cpu_s_per_mpoint", "{:,.2f}", "low"),
    ("all writing with the work after it, CPU s/Mpoint", "settle.cpu_s_per_mpoint_with_ingest", "{:,.2f}", "low"),
    ("bytes/point, files", "disk.bytes_per_point", "{:,.2f}", "low"),
    ("bytes/point, blocks allocated", "disk.bytes_per_point_allocated", "{:,.2f}", "low"),
    ("files", "disk.files", "{:,}", None),
    ("peak resident set, MiB", "resident_peak_mib", "{:,.0f}", "low"),
    ("one metric, all its days, CPU ms", "queries.one.cpu_ms", "{:,.2f}", "low"),
    ("– points in the answer", "queries.one.points", "{:,}", None),
    ("– p50 / p95 ms", "queries.one", "{p50_ms:,.1f} / {p95_ms:,.1f}", None),
    ("mean of all wide series by 5 min, 1 d, CPU ms", "queries.mean.cpu_ms", "{:,.2f}", "low"),
    ("– p50 / p95 ms", "queries.mean", "{p50_ms:,.1f} / {p95_ms:,.1f}", None),
    ("rate of up to 100 counters, 6 h, CPU ms", "queries.rate.cpu_ms", "{:,.2f}", "low"),
    ("– p50 / p95 ms", "queries.rate", "{p50_ms:,.1f} / {p95_ms:,.1f}", None),
    ("panel: 20 metrics, 6 h, one request, CPU ms", "queries.panel.cpu_ms", "{:,.2f}", "low"),
    ("– p50 / p95 ms", "queries.panel", "{p50_ms:,.1f} / {p95_ms:,.1f}", None),
    ("ready again after kill -9, s", "crash.ready_s", "{:,.2f}", "low"),
    ("work: instances", "instances", "{:,}", None),
    ("work: hours live", "hours", "{}", None),
    ("work: days of one instance", "days", "{}", None),
    ("work: wide series", "wide", "{:,}", None),
    ("work: points live", "totals.live", "{:,}", None),
    ("load average before", "load1_before", "{:.1f}", None),
    ("version", "version", "{}", None),
    ("an acknowledged write is", "durable", "{}", None),
]


def find(result, path):
    """The value at a dotted path, or None."""
    if path == "resident_peak_mib":
        return result["resident_peak"] / 2 ** 20 if "resident_peak" in result else None
    for key in path.split("."):
        if not isinstance(result, dict) or key not in result:
            return None
        result = result[key]
    return None if isinstance(result, dict) and "error" in result else result


def show(value, form):
    if value is None:
        return "–"
    return form.format(**value) if isinstance(value, dict) else form.format(value)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def comparable(result, path):
    """The value at a path; that of a query divided by the points it reads, since sizes of work may differ."""
    value = find(result, path)
    if value is None or not path.startswith("queries."):
        return value
    return value / find(result, path.rsplit(".", 1)[0] + ".points_read")


def ratios(systems, reference):
    """Rows of how many times better each system is than the reference, reads by the point read; above 1 is better."""
    for title, path, _, better in ROWS:
        base = comparable(systems[reference], path) if better else None
        if not base:
            continue
        values = [comparable(result, path) for result in systems.values()]
        yield [title] + ["–" if not v else f"{v / base if better == 'high' else base / v:,.2f}" for v in values]


def errors(systems):
    for name, result in systems.items():
        found = [result["error"]] if "error" in result else []
        found += [f"{query}: {r['error']}" for query, r in result.get("queries", {}).items() if "error" in r]
        if "note" in result.get("settle", {}):
            found.append("after writing: " + result["settle"]["note"])
        if found:
            yield f"Of {name}: " + "; ".join(found) + "\n"


def markdown(document):
    """The whole report; systems that ran on a smaller part of the work say so in the rows `work`."""
    systems, machine = document["systems"], document["machine"]
    out = [f"{document['when']}, {machine['cpus']} CPUs ({machine['cpu']}), Linux {machine['kernel']}, "
           f"seed {document['args']['seed']}, a point each {document['args']['interval']} s.\n",
           table(["measure", *systems],
                 [[title] + [show(find(r, path), form) for r in systems.values()] for title, path, form, _ in ROWS])]
    reference = document["args"]["reference"]
    if len(systems) > 1 and reference in systems:
        out.append(f"How many times better than {reference} (above 1 is better; reads by the point read, since "
                   "sizes of work differ where the rows `work` differ):\n")
        out.append(table(["measure", *systems], list(ratios(systems, reference))))
    return "\n".join(out + list(errors(systems)))
