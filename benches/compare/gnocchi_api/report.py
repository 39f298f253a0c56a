"""The table."""
from .work import KINDS


def micros(value):
    return f"{value:,.0f}" if value < 10_000 else f"{value / 1000:,.1f} ms"


def table(results, args):
    """µs of CPU for one request: the limit, and for each server its own and its database's."""
    head, rule = ["CPU µs for a request", "at most"], ["---", "---:"]
    for name, result in results.items():
        for part in _parts(result):
            head.append(f"{name}: {part}" if part != "server" else name)
            rule.append("---:")
    ratio = "Gnocchi" in results and len(results) > 1
    first = next(iter(results))
    if ratio:
        head.append(f"Gnocchi ÷ {first}")
        rule.append("---:")
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(rule) + " |"]
    for kind, name, limit, _ in KINDS:
        if not all(kind in result["rows"] for result in results.values()):
            continue
        cells = [name, micros(limit)]
        for result in results.values():
            used = result["rows"][kind]["cpu_us"]
            cells += [micros(used[part]) if part in used else "–" for part in _parts(result)]
        if ratio:
            sums = [sum(results[name]["rows"][kind]["cpu_us"].values()) for name in ("Gnocchi", first)]
            cells.append(f"{sums[0] / max(sums[1], 1e-9):,.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for name, result in results.items():
        more = f"{result['populated']:,} resources of 10 metrics more in the index; " if result["populated"] else ""
        rates = ", ".join(f"{name} {row['per_second']:,.0f}" for name, row in result["rows"].items())
        lines.append(f"{name}: {more}requests a second: {rates}.")
        if "sequential" in result:
            post, sync = result["sequential"]["post_us"], result["sequential"]["fsync_us"]
            lines.append(f"{name}: one client posting one measure after the other: {post:,.0f} µs each, an fsync there takes "
                         f"{sync:,.0f} µs: {post / sync:.2f} times (at most 1.3).")
    lines.append(f"{args.connections} clients at a time, {args.seconds:g} s for each kind (Gnocchi {args.gnocchi_seconds:g} s); "
                 "the clients' CPU is not counted; \"later\" is work after the answer.")
    return "\n".join(lines)


def _parts(result):
    parts = {part for row in result["rows"].values() for part in row["cpu_us"]}
    return sorted(parts, key=["server", "later", "database"].index)
