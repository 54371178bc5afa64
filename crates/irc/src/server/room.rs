//! How much an answer holds: whoever wrote what it is made of must not be able to fill the queue of whoever asks.

/// How much an answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Messages.
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Room {
    /// How many messages of these bytes it holds. One is never too large: nothing would come behind it.
    pub(super) fn holds(self, sizes: impl Iterator<Item = usize>) -> usize {
        let mut bytes = 0usize;
        let fits = |(at, size): &(usize, usize)| {
            bytes = bytes.saturating_add(*size);
            *at == 0 || bytes <= self.bytes
        };
        sizes.take(self.count).enumerate().take_while(fits).count()
    }

    /// What is left of it behind messages of these bytes.
    pub(super) fn behind(self, sizes: impl Iterator<Item = usize>) -> Self {
        sizes.fold(self, |room, size| {
            let bytes = room.bytes.saturating_sub(size);
            Self { count: if bytes == 0 { 0 } else { room.count.saturating_sub(1) }, bytes }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_one_message_always_fits() {
        let room = |count, bytes| Room { count, bytes };
        let sizes = || [40usize, 30, 30, 1].into_iter();
        for (room, held) in [(room(9, 100), 3), (room(2, 100), 2), (room(9, 10), 1), (room(0, 100), 0)] {
            assert_eq!(room.holds(sizes()), held, "{room:?}");
        }
        assert_eq!(room(9, 90).behind([40, 30].into_iter()), room(7, 20));
        assert_eq!(room(9, 60).behind([40, 30].into_iter()).count, 0, "no bytes are left");
    }
}
