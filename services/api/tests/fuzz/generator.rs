//! Inputs: entries of a corpus, changed in a few places.

/// Longest input that is made, in bytes.
const LONGEST: usize = 16 << 10;

/// Texts that parsers look for.
const WORDS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-",
    "+",
    "0",
    "1e999",
    "NaN",
    "Infinity",
    "-0.0",
    "9223372036854775807",
    "18446744073709551616",
    "0.1",
    " ",
    "\n",
    "=",
    "@",
    "|",
    "not ",
    " and ",
    " or ",
    " in ",
    "≥",
    "∧",
    "like",
    "metric",
    "aggregate",
    "mean",
    "rate:",
    "resample",
    "timestamp",
    "value",
    "2015-03-06T14:33:57.123456789Z",
    "-10 minutes",
    "1h30m",
    "\u{0}",
    "é",
];

/// Makes inputs; the same ones for the same seed.
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers by SplitMix64.
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.number() % end as u64).unwrap() }
    }

    /// A place in the input and one not far behind it.
    fn range(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(input.len() + 1);
        start..(start + self.below(33)).min(input.len())
    }

    /// The next input.
    pub(crate) fn next(&mut self, corpus: &[&[u8]], input: &mut Vec<u8>) {
        input.clear();
        input.extend_from_slice(corpus[self.below(corpus.len())]);
        // Every tenth as it is or nearly so; few changes more often than many.
        for _ in 0..self.below(10).min(self.below(10)) {
            self.change(corpus, input);
        }
        input.truncate(LONGEST);
    }

    fn change(&mut self, corpus: &[&[u8]], input: &mut Vec<u8>) {
        let range = self.range(input);
        match self.below(10) {
            0 | 1 if range.start < input.len() => input[range.start] ^= 1 << self.below(8),
            2 if range.start < input.len() => input[range.start] = self.number().to_le_bytes()[0],
            3 => {
                let byte = self.number().to_le_bytes()[0];
                input.insert(range.start, byte);
            }
            4 => drop(input.drain(range)),
            5 => input.truncate(range.start),
            6 => {
                let other = corpus[self.below(corpus.len())];
                let part = self.range(other);
                input.splice(range, other[part].iter().copied());
            }
            7 => {
                let part = input[range.clone()].to_vec();
                let times = 1 << self.below(10);
                let room = LONGEST.saturating_sub(input.len());
                let repeated = part.iter().copied().cycle().take((part.len() * times).min(room));
                input.splice(range.start..range.start, repeated.collect::<Vec<_>>());
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(range.start..range.start, word.bytes());
            }
        }
    }
}
