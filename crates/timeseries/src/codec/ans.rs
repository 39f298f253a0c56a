//! Tables of a finite-state entropy coder (tANS): a symbol of probability p costs −log₂ p bits, also below one bit.
//!
//! A coder is a state below 2ᴸ. The decoder looks its state up, learns the symbol and how many bits to add to which
//! base for the next state. The encoder walks the same states backwards, from the last symbol to the first.

use super::CodecError;
use super::classes::Bin;

/// Least and most that L may be.
pub(super) const MIN_LOG: u32 = 5;
pub(super) const MAX_LOG: u32 = 10;
/// Room for the largest table, so that a masked state is an index that needs no check.
pub(super) const STATES: usize = 1 << MAX_LOG;

/// What a state of the decoder means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// The symbol's bin.
    pub(super) base: i64,
    pub(super) extra: u8,
    /// The next state is so many bits added to a base.
    pub(super) bits: u8,
    pub(super) next: u16,
}

/// Frequencies that add up to 2 to the power of `log`, in proportion to `weights`, none of them 0.
pub(super) fn normalise(weights: &[u32], log: u32, out: &mut Vec<u32>) -> Result<(), CodecError> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let size = 1_u64 << log;
    if weights.is_empty() || weights.len() as u64 * 2 > size || total == 0 {
        return Err(CodecError::Malformed("more symbols than states"));
    }
    out.clear();
    let share = |weight: &u32| u32::try_from(((u64::from(*weight) << log) / total).max(1)).unwrap_or(1);
    out.extend(weights.iter().map(share));
    let mut given: u64 = out.iter().map(|frequency| u64::from(*frequency)).sum();
    while given != size {
        let Some(largest) = out.iter_mut().max() else { break };
        if given < size {
            *largest += u32::try_from(size - given).unwrap_or(0);
            given = size;
        } else {
            *largest -= 1;
            given -= 1;
        }
    }
    Ok(())
}

/// Calls back for each state with its symbol: those of one symbol are scattered over the table.
fn spread(frequencies: &[u32], log: u32, mut place: impl FnMut(usize, usize)) {
    let size = 1_usize << log;
    let step = (size >> 1) + (size >> 3) + 3;
    let mut state = 0;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        for _ in 0..*frequency {
            place(state, symbol);
            state = (state + step) & (size - 1);
        }
    }
}

/// The decoder's table. `frequencies` are [normalised](normalise), one for each bin.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn decoder(frequencies: &[u32], bins: &[Bin], log: u32, table: &mut Vec<State>) {
    table.resize(STATES, State::default());
    let size = 1_u32 << log;
    let step = (size >> 1) + (size >> 3) + 3;
    let mut at = 0;
    let Ok(table) = <&mut [State; STATES]>::try_from(table.as_mut_slice()) else { return };
    // States of a symbol are numbered in the order in which they are placed, as the encoder does it.
    for (frequency, bin) in frequencies.iter().zip(bins) {
        let (first, end) = (*frequency, *frequency * 2);
        // The first power of two from there on: up to it, states shed one bit more.
        let turn = first.next_power_of_two();
        for (numbers, bits) in [(first..turn, log + 1 - turn.ilog2()), (turn..end, log - turn.ilog2())] {
            let next = (u64::from(numbers.start) << bits) as u32;
            let mut state = State { base: bin.base, extra: bin.extra, bits: bits as u8, next: 0 };
            state.next = next.wrapping_sub(size) as u16;
            for _ in numbers {
                table[at as usize % STATES] = state;
                state.next = state.next.wrapping_add(1 << bits);
                at = (at + step) & (size - 1);
            }
        }
    }
}

/// The encoder's tables.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// States by symbol and number, all above 2ᴸ.
    states: Vec<u16>,
    symbols: Vec<Symbol>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Symbol {
    /// Where its states begin, less its frequency.
    start: i32,
    /// Gives the number of bits to shed, in its upper half, when a state is added.
    shed: u32,
}

impl Encoder {
    /// Prepares for symbols of these frequencies.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    pub(super) fn prepare(&mut self, frequencies: &[u32], log: u32) {
        let size = 1_usize << log;
        self.states.clear();
        self.states.resize(size, 0);
        self.symbols.clear();
        let mut total = 0_u32;
        for frequency in frequencies {
            let bits = log - if *frequency > 1 { (frequency - 1).ilog2() } else { 0 };
            let shed = (bits << 16).wrapping_sub(frequency << bits);
            self.symbols.push(Symbol { start: total as i32 - *frequency as i32, shed });
            total += frequency;
        }
        let mut next: Vec<usize> = self
            .symbols
            .iter()
            .zip(frequencies)
            .map(|(symbol, frequency)| (symbol.start + *frequency as i32) as usize)
            .collect();
        spread(frequencies, log, |state, symbol| {
            self.states[next[symbol]] = (size + state) as u16;
            next[symbol] += 1;
        });
    }

    /// A state from which the decoder reads `symbol`; the last of a stream.
    #[allow(clippy::cast_sign_loss)]
    pub(super) fn last(&self, symbol: usize, frequencies: &[u32]) -> u32 {
        let start = self.symbols[symbol].start + frequencies[symbol].cast_signed();
        u32::from(self.states[start as usize])
    }

    /// The state before `state` from which the decoder reads `symbol`, and the bits (with their number) that lead it
    /// on.
    #[inline]
    #[allow(clippy::cast_sign_loss)]
    pub(super) fn back(&self, state: u32, symbol: usize) -> (u32, u32, u32) {
        let Symbol { start, shed } = self.symbols[symbol];
        let bits = state.wrapping_add(shed) >> 16;
        let before = self.states[((state >> bits).cast_signed() + start) as usize];
        (u32::from(before), state & ((1 << bits) - 1), bits)
    }
}
