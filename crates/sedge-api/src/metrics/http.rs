use std::sync::atomic::{AtomicU64, Ordering};

use sedge_service::Histogram;

use super::page::Page;
use super::table;

const FIRST_CODE: u16 = 100;
const CODES: usize = 500;

/// Counts of HTTP answers, whatever their protocol.
#[derive(Debug)]
pub(crate) struct HttpStatistics {
    /// By status, from 100 to 599.
    codes: [AtomicU64; CODES],
    seconds: Histogram,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Default for HttpStatistics {
    fn default() -> Self {
        Self {
            codes: [const { AtomicU64::new(0) }; CODES],
            seconds: Histogram::default(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        }
    }
}

impl HttpStatistics {
    /// Counts one request that ended.
    pub(crate) fn record(&self, status: u16, micros: u64, received: u64, sent: u64) {
        let code = self.codes.get(usize::from(status.saturating_sub(FIRST_CODE)));
        if let Some(code) = code {
            code.fetch_add(1, Ordering::Relaxed);
        }
        self.seconds.record(micros);
        self.received_bytes.fetch_add(received, Ordering::Relaxed);
        self.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, page: &mut Page) {
        for (code, count) in (FIRST_CODE..).zip(&self.codes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                page.add(&table::HTTP_RESPONSES, &[&code.to_string()], count as f64);
            }
        }
        page.histogram(&table::HTTP_SECONDS, &[], &self.seconds);
        let bytes = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        page.add(&table::HTTP_RECEIVED, &[], bytes(&self.received_bytes));
        page.add(&table::HTTP_SENT, &[], bytes(&self.sent_bytes));
    }
}
