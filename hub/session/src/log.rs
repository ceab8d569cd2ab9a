//! The numbered frames that some socket still has to take. Knows no sockets; its owner says what is no longer needed.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{LOG_ENTRY_OVERHEAD_BYTES, LOG_MAX_BYTES};

/// Frames `first ..= head`, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Bytes>,
    head: u64,
    bytes: usize,
}

impl Log {
    /// The last number given out; 0 before the first.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The number of the oldest frame kept; `head + 1` when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.head + 1 - self.entries.len() as u64
    }

    /// Whether more is kept than may be.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes > LOG_MAX_BYTES
    }

    /// Adds the frame that `make` makes of its number.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> Vec<u8>) {
        self.head += 1;
        let frame = Bytes::from(make(self.head));
        self.bytes += cost(&frame);
        self.entries.push_back(frame);
    }

    /// The frame with this number, if it is kept.
    pub(crate) fn get(&self, seq: u64) -> Option<&Bytes> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        self.entries.get(index)
    }

    /// Forgets all frames before `seq`.
    pub(crate) fn trim(&mut self, seq: u64) {
        while self.first() < seq {
            let Some(frame) = self.entries.pop_front() else { return };
            self.bytes -= cost(&frame);
        }
    }
}

fn cost(frame: &Bytes) -> usize {
    frame.len() + LOG_ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(frames: u64) -> Log {
        let mut log = Log::default();
        for _ in 0..frames {
            log.push(|seq| seq.to_string().into_bytes());
        }
        log
    }

    #[test]
    fn numbers_start_at_one_and_have_no_gap() {
        let log = log(3);
        assert_eq!((log.first(), log.head()), (1, 3));
        assert_eq!(log.get(1).map(AsRef::as_ref), Some(&b"1"[..]));
        assert_eq!(log.get(3).map(AsRef::as_ref), Some(&b"3"[..]));
        assert_eq!((log.get(0), log.get(4)), (None, None));
    }

    #[test]
    fn what_is_trimmed_is_gone_and_numbers_go_on() {
        let mut log = log(3);
        log.trim(3);
        assert_eq!((log.first(), log.get(2)), (3, None));
        log.trim(9);
        assert_eq!((log.first(), log.head(), log.bytes), (4, 3, 0));
        log.push(|seq| vec![b'x'; seq as usize]);
        assert_eq!((log.first(), log.head(), log.bytes), (4, 4, 4 + LOG_ENTRY_OVERHEAD_BYTES));
    }
}
