//! A message that the broker answers by ending the connection must not hold up all others for ever.

/// Whom the broker may have ended connections for.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    suspect: Option<(u64, u32)>,
}

impl Doubt {
    /// The broker ended a connection while this message had waited longest. Gives how often that
    /// has been so without anything delivered in between.
    pub(super) fn ended(&mut self, id: u64) -> u32 {
        let times = match self.suspect {
            Some((suspect, times)) if suspect == id => times.saturating_add(1),
            _ => 1,
        };
        self.suspect = Some((id, times));
        times
    }

    /// A message was acknowledged or given up.
    pub(super) fn settled(&mut self) {
        self.suspect = None;
    }

    /// Whether messages go one at a time, so that an end can be put down to one of them.
    pub(super) fn is_careful(&self) -> bool {
        self.suspect.is_some_and(|(_, times)| times > 1)
    }
}
