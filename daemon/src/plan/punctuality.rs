//! The keepalive law at run time: is a peer spoken to as often as was promised?
//!
//! A NAT on the way forgets a mapping that is silent for longer. Late is what the data plane should
//! have sent and has not; a peer without an endpoint is not spoken to by anybody.

use std::time::Duration;

/// How late a keepalive may be: timers are coarse, and a machine may be busy.
const GRACE: Duration = Duration::from_secs(4);

/// Looks at one peer's sent bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Punctuality {
    sent: u64,
    changed_at: Duration,
    is_late: bool,
}

impl Punctuality {
    /// True while the peer is left without a word for longer than was promised.
    pub(crate) const fn is_late(&self) -> bool {
        self.is_late
    }

    /// Takes the count of bytes sent so far. True once for each time that the peer was left
    /// without a word for longer than `keepalive`.
    pub(crate) fn observe(
        &mut self,
        sent: Option<u64>,
        keepalive: Duration,
        now: Duration,
    ) -> bool {
        match sent {
            Some(sent) if sent == self.sent => {}
            _ => {
                (self.sent, self.changed_at) = (sent.unwrap_or(self.sent), now);
                self.is_late = false;
            }
        }
        let was_late = self.is_late;
        self.is_late = now.saturating_sub(self.changed_at) > keepalive + GRACE;
        self.is_late && !was_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_beyond_the_keepalive_is_told_once_until_something_is_sent() {
        let mut punctuality = Punctuality::default();
        let mut late = 0;
        let mut at = |sent, second| {
            let told =
                punctuality.observe(sent, Duration::from_secs(25), Duration::from_secs(second));
            late += u32::from(told);
            late
        };
        assert_eq!(at(Some(32), 100), 0);
        assert_eq!(at(Some(64), 125), 0);
        assert_eq!(at(Some(64), 154), 0);
        assert_eq!(at(Some(64), 155), 1);
        assert_eq!(at(Some(64), 200), 1);
        assert_eq!(at(Some(96), 201), 1);
        assert_eq!(at(Some(96), 231), 2);
        assert_eq!(at(None, 232), 2, "without an endpoint nothing is due");
        assert_eq!(at(None, 300), 2);
    }
}
