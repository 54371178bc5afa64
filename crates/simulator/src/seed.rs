//! Everything the world makes up comes from here, so that one number brings the same world back.

/// One step of SplitMix64: spreads the bits of a counter well enough for made-up data.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that depends on all of `parts` and on their order.
pub(crate) fn mix_all(parts: &[u64]) -> u64 {
    parts.iter().fold(0x5851_f42d_4c95_7f2d, |state, part| mix(state ^ mix(*part)))
}

/// `length` lower-case hex digits that depend on `parts`.
pub(crate) fn hex(parts: &[u64], length: usize) -> String {
    let mut out = String::with_capacity(length + 16);
    let start = mix_all(parts);
    let mut round = 0;
    while out.len() < length {
        push_hex(&mut out, mix_all(&[start, round]));
        round += 1;
    }
    out.truncate(length);
    out
}

pub(crate) fn push_hex(out: &mut String, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..16).rev() {
        let digit = usize::try_from((value >> (shift * 4)) & 15).unwrap_or(0);
        out.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
    }
}

/// `length` characters of base64's alphabet without padding.
pub(crate) fn base64_like(parts: &[u64], length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut dice = Dice::new(mix_all(parts));
    (0..length).map(|_| char::from(*dice.pick(ALPHABET))).collect()
}

/// A small generator for choices.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound` (0 for a bound of 0).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.below(choices.len());
        &choices[at]
    }

    /// One of `lines`.
    pub(crate) fn line(&mut self, lines: &[&'static str]) -> &'static str {
        self.pick::<&'static str>(lines)
    }

    /// True with the given probability.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough for a coin")]
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) / ((1_u64 << 53) as f64) < probability
    }
}
