//! Arithmetic in bits: evidence is added, chances are powers of two.

/// Evidence beyond this is all the same, and sums of it must stay finite.
const LIMIT: f64 = 300.0;

/// The chance, or the odds, of so many bits.
pub(crate) fn exp(bits: f64) -> f64 {
    bits.clamp(-LIMIT, LIMIT).exp2()
}

/// Bits of `n!`.
pub(crate) fn factorial(n: usize) -> f64 {
    (2..=n.min(500)).map(|k| crate::trust::share(k, 1).log2()).sum()
}
