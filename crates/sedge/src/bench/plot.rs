//! The report as a picture.

use anyhow::Result;
use sedge_vision::chart::{Bar, Chart, Panel, Row, Spread, render};
use sedge_vision::encode_png;

use super::figures::percentile;
use super::report::{Report, Run, VariantReport};

/// A PNG file: how latencies are spread, and answers per second.
pub(crate) fn png(report: &Report) -> Result<Vec<u8>> {
    let first = |v: &VariantReport| Some((name(v), v.runs.first()?.spread_ms()));
    let spreads = report.variants.iter().enumerate().filter_map(|(color, variant)| {
        let (label, spread) = first(variant)?;
        Some(Row { label, color, bar: Bar::Spread(spread) })
    });
    let at_once = report.runs().next().map_or(1, |(_, run)| run.concurrency);
    let latency = Panel {
        title: format!("Latency in ms with {at_once} at once: how often, and p50, p90, p99"),
        rows: spreads.collect(),
    };
    let throughput = report.variants.iter().enumerate().flat_map(|(color, variant)| {
        variant.runs.iter().map(move |run| Row {
            label: format!("{}, {} at once", name(variant), run.concurrency),
            color,
            bar: Bar::Length(run.throughput_per_s),
        })
    });
    let throughput = Panel { title: "Answers per second".into(), rows: throughput.collect() };
    let chart = Chart {
        title: report.title(),
        subtitle: report.subtitle(),
        panels: vec![latency, throughput],
    };
    let (width, height, rgb) = render(&chart);
    Ok(encode_png(width, height, &rgb)?)
}

fn name(variant: &VariantReport) -> String {
    let plural = if variant.threads == 1 { "" } else { "s" };
    format!("{}, {} thread{plural}", variant.engine, variant.threads)
}

impl Run {
    fn spread_ms(&self) -> Spread {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        // The slowest of a hundred would squeeze all others into a line.
        let end = percentile(&self.nanos, 0.99);
        let values = self.nanos.iter().take_while(|&&nanos| nanos <= end).map(|&nanos| ms(nanos));
        let marks = [0.5, 0.9, 0.99].map(|share| ms(percentile(&self.nanos, share)));
        Spread { values: values.collect(), marks: marks.to_vec() }
    }
}
