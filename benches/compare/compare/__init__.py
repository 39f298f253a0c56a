"""The same seeded telemetry workload against several metric stores, in one run on one machine."""
