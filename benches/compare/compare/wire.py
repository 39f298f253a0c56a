"""Encoders: one batch becomes one request body, before the clock starts."""
import cramjam
import numpy as np


def number(x):
    return repr(int(x)) if x == int(x) else repr(float(x))


def iso(times):
    return np.datetime_as_string(times.astype("datetime64[ms]"), unit="ms").tolist()


def gnocchi_json(workload, batch):
    """Body of Gnocchi's batch of measures by metric."""
    out = []
    for m, times, values in zip(batch.metrics, batch.times, batch.values):
        measures = ",".join('{"timestamp":"%s","value":%s}' % (t, number(x)) for t, x in zip(iso(times), values))
        out.append('"%s":[%s]' % (workload.metric_uuid[m], measures))
    return ("{" + ",".join(out) + "}").encode()


def influx_lines(workload, batch):
    """InfluxDB's line protocol with milliseconds."""
    out = []
    for m, times, values in zip(batch.metrics, batch.times, batch.values):
        labels = workload.labels(m)
        head = f"{labels['__name__']},grp={labels['grp']},resource={labels['resource']} value="
        out += [f"{head}{number(x)} {t}" for t, x in zip(times.tolist(), values)]
    return "\n".join(out).encode()


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


_encoded_labels = {}


def _labels(workload, m):
    key = (workload.seed, m)
    if key not in _encoded_labels:
        parts = []
        for name, value in sorted(workload.labels(m).items()):
            name, value = name.encode(), value.encode()
            one = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
            parts.append(b"\x0a" + varint(len(one)) + one)
        _encoded_labels[key] = b"".join(parts)
    return _encoded_labels[key]


def _samples(times, values):
    """18 bytes each: field 2 {double value = 1; int64 timestamp = 2}; milliseconds of our days take 6 varint bytes."""
    n = len(times)
    a = np.empty((n, 18), np.uint8)
    a[:, 0], a[:, 1], a[:, 2], a[:, 11] = 0x12, 16, 0x09, 0x10
    a[:, 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(n, 8)
    for i in range(6):
        a[:, 12 + i] = (times >> (7 * i)) & 127 | (128 if i < 5 else 0)
    return a.tobytes()


def remote_write(workload, batch):
    """Prometheus remote write 1.0: protobuf in a snappy block."""
    block = _samples(np.concatenate(batch.times), np.concatenate(batch.values))
    out, offset = [], 0
    for m, times in zip(batch.metrics, batch.times):
        labels, size = _labels(workload, m), 18 * len(times)
        out += [b"\x0a", varint(len(labels) + size), labels, block[offset:offset + size]]
        offset += size
    return bytes(cramjam.snappy.compress_raw(b"".join(out)))
