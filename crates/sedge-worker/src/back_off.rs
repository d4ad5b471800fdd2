use std::time::{Duration, Instant};

/// When a process that ends by itself is started again, and when it is given up.
///
/// The pause doubles with every end; a process that lived for a while, or answered often enough,
/// begins at the shortest again.
#[derive(Debug)]
pub struct BackOff {
    ends: u32,
    most: u32,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// A process that lived so long ended for another reason than the one before.
const LONG_LIFE: Duration = Duration::from_secs(60);
/// So did one that answered as many requests.
const MANY_ANSWERS: u64 = 1000;

impl BackOff {
    /// Gives up after `most` ends in a row.
    pub fn new(most: u32) -> Self {
        Self { ends: 0, most: most.max(1) }
    }

    /// The pause before the next start; `None` to give up.
    pub fn ended(&mut self, born: Instant, answers: u64) -> Option<Duration> {
        if born.elapsed() >= LONG_LIFE || answers >= MANY_ANSWERS {
            self.ends = 0;
        }
        self.ends += 1;
        let pause = FIRST.saturating_mul(1 << (self.ends - 1).min(16)).min(LONGEST);
        (self.ends < self.most).then_some(pause)
    }

    /// Begins at the shortest pause again.
    pub fn forget(&mut self) {
        self.ends = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut back_off = BackOff::new(4);
        let now = Instant::now();
        let pauses: Vec<_> = (0..4).map(|_| back_off.ended(now, 0)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(100), ms(200), ms(400), None]);
        assert_eq!(back_off.ended(now, MANY_ANSWERS), ms(100));
        back_off.forget();
        assert_eq!(back_off.ended(now, 0), ms(100));
    }
}
