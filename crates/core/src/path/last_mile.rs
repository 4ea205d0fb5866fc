//! The way from the tunnel to a VM of the zone and back, judged by asking.
//!
//! In each round a VM is asked twice: from the gateway's own address in the LAN, and through the kernel
//! as if another zone asked. Only who answers the first and not the second, again and again, is cut
//! off by the gateway's machine or has no way back. Promises that a VM which is gone, or keeps its
//! port shut, is never called cut off. Refuses to know how it is asked.

/// Rounds in which only the one through the kernel is not answered until the VM is cut off, and rounds
/// without any answer until nothing is known of it.
const ROUNDS: u32 = 4;

/// Which of the two ways a VM was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedWay {
    /// From the gateway's own address in the LAN.
    Direct,
    /// As if another zone asked.
    Through,
}

/// One VM.
#[derive(Debug, Clone, Default)]
pub struct LastMile {
    direct: bool,
    through: bool,
    is_asked: bool,
    cut_rounds: u32,
    silent_rounds: u32,
}

impl LastMile {
    /// A round begins, and the one before is over.
    pub fn begin_round(&mut self) {
        if std::mem::replace(&mut self.is_asked, true) {
            self.judge();
        }
        (self.direct, self.through) = (false, false);
    }

    /// An answer of this round came.
    pub fn handle_answer(&mut self, way: AskedWay) {
        match way {
            AskedWay::Direct => self.direct = true,
            AskedWay::Through => {
                self.through = true;
                self.cut_rounds = 0;
            }
        }
    }

    /// How many rounds in a row it was cut off, if it is.
    #[must_use]
    pub fn cut_off_for(&self) -> Option<u32> {
        (self.cut_rounds >= ROUNDS).then_some(self.cut_rounds)
    }

    fn judge(&mut self) {
        match (self.direct, self.through) {
            (_, true) => (self.cut_rounds, self.silent_rounds) = (0, 0),
            (true, false) => {
                self.cut_rounds = self.cut_rounds.saturating_add(1);
                self.silent_rounds = 0;
            }
            (false, false) => {
                self.silent_rounds = self.silent_rounds.saturating_add(1);
                if self.silent_rounds >= ROUNDS {
                    self.cut_rounds = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rounds with these answers.
    fn rounds(mile: &mut LastMile, count: usize, answers: &[AskedWay]) {
        for _ in 0..count {
            mile.begin_round();
            answers.iter().for_each(|way| mile.handle_answer(*way));
        }
    }

    #[test]
    fn a_vm_that_answers_its_gateway_and_no_other_zone_is_cut_off_after_some_rounds() {
        let mut mile = LastMile::default();
        rounds(&mut mile, 9, &[AskedWay::Direct, AskedWay::Through]);
        assert_eq!(mile.cut_off_for(), None);
        rounds(&mut mile, 4, &[AskedWay::Direct]);
        assert_eq!(mile.cut_off_for(), None, "the fourth is not over");
        rounds(&mut mile, 1, &[AskedWay::Direct]);
        assert_eq!(mile.cut_off_for(), Some(4));
        // It is over with the first answer, not at the end of the round.
        mile.handle_answer(AskedWay::Through);
        assert_eq!(mile.cut_off_for(), None);
    }

    #[test]
    fn a_vm_that_answers_nobody_is_not_called_cut_off() {
        let mut mile = LastMile::default();
        rounds(&mut mile, 99, &[]);
        assert_eq!(mile.cut_off_for(), None);
        rounds(&mut mile, 6, &[AskedWay::Direct]);
        assert!(mile.cut_off_for().is_some());
        rounds(&mut mile, 3, &[]);
        assert!(mile.cut_off_for().is_some(), "what was lost says nothing");
        rounds(&mut mile, 2, &[]);
        assert_eq!(mile.cut_off_for(), None, "it is gone");
    }

    #[test]
    fn single_answers_that_are_lost_are_no_cut() {
        let mut mile = LastMile::default();
        for _ in 0..50 {
            rounds(&mut mile, 3, &[AskedWay::Direct]);
            rounds(&mut mile, 1, &[AskedWay::Direct, AskedWay::Through]);
            assert_eq!(mile.cut_off_for(), None);
        }
    }
}
