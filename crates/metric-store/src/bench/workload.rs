//! Telemetry as a cloud makes it, seeded: every instance has the same 20 meters, polled once a minute.
//!
//! Thirteen counters (with restarts about once a week), three gauges that move, three that never do, and one value of
//! full precision; a third of the instances are idle. Each instance has its own moment in the minute; a fifth of its
//! readings come some milliseconds off, one in a thousand up to two seconds late.

use nephos_model::{MetricId, Timestamp};

/// Meters of an instance.
pub const METERS: [&str; 20] = [
    "cpu",
    "vcpus",
    "memory",
    "memory.usage",
    "memory.resident",
    "memory.swap.in",
    "disk.device.read.bytes",
    "disk.device.read.requests",
    "disk.device.write.bytes",
    "disk.device.write.requests",
    "disk.device.read.latency",
    "disk.device.write.latency",
    "disk.device.capacity",
    "disk.device.allocation",
    "network.incoming.bytes",
    "network.incoming.packets",
    "network.outgoing.bytes",
    "network.outgoing.packets",
    "network.incoming.packets.drop",
    "cpu_util",
];

/// Nanoseconds between two readings.
pub const INTERVAL: i64 = 60_000_000_000;
/// When the first reading of every instance falls due: a whole day.
pub const START: i64 = 1_767_225_600_000_000_000;

/// Pseudo-random numbers (splitmix64): the same for one seed on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl Random {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Evenly in [0, 1).
    pub fn even(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly between two bounds.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.even() * (high - low)
    }

    /// Below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.even() * bound as f64) as u64
    }

    /// Normally distributed around zero.
    pub fn normal(&mut self, deviation: f64) -> f64 {
        let (first, second) = (1.0 - self.even(), self.even());
        (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos() * deviation
    }

    fn log_normal(&mut self, mean: f64, deviation: f64) -> f64 {
        (mean + self.normal(deviation)).exp()
    }
}

/// What stays the same about one instance, and how it stands.
#[derive(Clone, Debug)]
pub struct Instance {
    random: Random,
    /// Its metrics, one for each of [`METERS`].
    pub metrics: [MetricId; METERS.len()],
    phase: i64,
    idle: bool,
    vcpus: f64,
    memory: f64,
    capacity: f64,
    level: f64,
    wave: f64,
    noise: f64,
    walk: f64,
    resident: f64,
    written: f64,
    counters: [f64; METERS.len()],
    tick: i64,
}

impl Instance {
    /// One instance of a seeded cloud.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.bits();
        let metrics = std::array::from_fn(|_| {
            let id = u128::from(random.bits()) << 64 | u128::from(random.bits());
            MetricId(uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid())
        });
        let phase = random.below(48_000).cast_signed() + 2_000;
        let idle = random.even() < 0.3;
        let vcpus = (1u64 << random.below(4)) as f64;
        let memory = vcpus * if random.even() < 0.5 { 2_048.0 } else { 4_096.0 };
        let capacity = (20u64 << random.below(3)) as f64 * f64::from(1 << 30);
        let level = if idle { random.between(0.005, 0.03) } else { random.between(0.05, 0.6) };
        let wave = random.between(0.0, 6.0);
        let mut counters = [0.0; METERS.len()];
        counters.iter_mut().for_each(|counter| *counter = random.below(1_000_000_000) as f64);
        Self {
            random,
            metrics,
            phase,
            idle,
            vcpus,
            memory,
            capacity,
            level,
            wave,
            noise: 0.0,
            walk: 0.0,
            resident: 0.0,
            written: 0.0,
            counters,
            tick: 0,
        }
    }

    /// The next reading: its time and a value for each meter.
    pub fn read(&mut self) -> (Timestamp, [f64; METERS.len()]) {
        let timestamp = self.time();
        let random = &mut self.random;
        let day = f64::from(i32::try_from(self.tick).unwrap_or(i32::MAX)) / 1_440.0 * std::f64::consts::TAU;
        self.noise = 0.9 * self.noise + random.normal(0.25 * 0.436);
        let load = (self.level * (1.0 + 0.5 * (day + self.wave).sin() + self.noise)).clamp(0.001, 1.0);
        if random.even() < 1.0 / (7.0 * 1_440.0) {
            self.counters = [0.0; METERS.len()];
        }
        let step = load * self.vcpus * 60e9 * (1.0 + random.normal(0.02));
        let (idle, memory) = (self.idle, self.memory);
        if random.even() < if idle { 0.1 } else { 0.5 } {
            self.walk += random.normal(memory / 800.0);
        }
        let used = (memory * 0.4 + self.walk).clamp(memory * 0.05, memory * 0.95);
        self.resident = self.resident.max(used);
        let busy = f64::from(u8::from(random.even() < if idle { 0.15 } else { 0.9 }));
        let reads = (busy * load * random.log_normal(4.0, 1.0)).floor();
        let writes = (busy * load * random.log_normal(5.0, 1.0) + if idle { 0.0 } else { 3.0 }).floor();
        self.written += writes * 400.0;
        let incoming = (load * random.log_normal(if idle { 3.0 } else { 6.0 }, 0.7)).floor() + 2.0;
        let outgoing = (incoming * random.between(0.6, 1.1)).floor();
        let sectors = |bytes: f64| (bytes / 512.0).floor() * 512.0;
        let steps = [
            (0, step.floor()),
            (5, if random.even() < 0.002 { random.between(1.0, 64.0).floor() } else { 0.0 }),
            (6, sectors(reads * 16_384.0 * random.between(0.5, 2.0))),
            (7, reads),
            (8, sectors(writes * 12_288.0 * random.between(0.5, 2.0))),
            (9, writes),
            (10, (reads * random.log_normal(12.0, 0.5)).floor()),
            (11, (writes * random.log_normal(12.0, 0.5)).floor()),
            (14, (incoming * random.between(80.0, 900.0)).floor()),
            (15, incoming),
            (16, (outgoing * random.between(80.0, 900.0)).floor()),
            (17, outgoing),
            (18, if random.even() < 0.0005 { 1.0 } else { 0.0 }),
        ];
        for (meter, step) in steps {
            self.counters[meter] += step;
        }
        let mut values = self.counters;
        values[1] = self.vcpus;
        values[2] = memory;
        values[3] = used.floor();
        values[4] = (self.resident * 1.05).floor();
        values[12] = self.capacity;
        let blocks = ((self.capacity * 0.3 + self.written) / 65_536.0).floor() * 65_536.0;
        values[13] = blocks.min(self.capacity);
        values[19] = step / (self.vcpus * 60e9) * 100.0;
        self.tick += 1;
        (timestamp, values)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn time(&mut self) -> Timestamp {
        let random = &mut self.random;
        let mut off = if random.even() < 0.2 { random.normal(15.0) } else { 0.0 };
        if random.even() < 0.001 {
            off += random.between(200.0, 2_000.0);
        }
        let millis = self.phase + off as i64;
        Timestamp::from_nanos(START + self.tick * INTERVAL + millis * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_readings_in_order_of_time() {
        let (mut one, mut same, mut other) = (Instance::new(1, 7), Instance::new(1, 7), Instance::new(2, 7));
        let mut last = Timestamp::MIN;
        for _ in 0..2_000 {
            let (timestamp, values) = one.read();
            assert!(timestamp > last);
            last = timestamp;
            assert_eq!((timestamp, values), same.read());
            assert_ne!(values, other.read().1);
        }
        assert_eq!(one.metrics, same.metrics);
    }
}
