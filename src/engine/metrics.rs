//! The figures that `/metrics` shows.

use super::database::Database;
use super::metric::{Metric, MetricKind, Sample};
use crate::catalog::{Catalog, Item};

impl Database {
    /// Figures for `/metrics`, as they are now.
    pub fn metrics(&self) -> Vec<Metric> {
        let catalog = self.catalog();
        let readable = self.timeline.readable();
        let views = catalog.entries().filter(|entry| matches!(entry.item, Item::MaterializedView(_)));
        let lag = views.filter_map(|entry| {
            let frontier = self.runtime.frontier(entry.id)?;
            let behind = (readable + 1).saturating_sub(frontier) as f64 / 1e6;
            Some(Sample { labels: vec![("view", entry.name.clone())], value: behind })
        });
        let arrangements = self.runtime.arrangements();
        let bytes: usize = arrangements.iter().map(|arrangement| arrangement.bytes).sum();
        let rows: usize = arrangements.iter().map(|arrangement| arrangement.rows).sum();
        let one = |value: f64| vec![Sample { labels: vec![], value }];
        let mut metrics = self.source_metrics(&catalog);
        metrics.extend([
            metric(
                "millrace_view_lag_seconds",
                "How far a view is behind the newest timestamp.",
                MetricKind::Gauge,
                lag.collect(),
            ),
            metric(
                "millrace_arrangement_bytes",
                "Memory of all arrangements; what lies in mapped files only is not counted.",
                MetricKind::Gauge,
                one(bytes as f64),
            ),
            metric(
                "millrace_state_memory_bytes",
                "Memory of the pages that count for --state-memory.",
                MetricKind::Gauge,
                one(self.runtime.memory().used() as f64),
            ),
            metric(
                "millrace_arrangement_rows",
                "Updates held in all arrangements.",
                MetricKind::Gauge,
                one(rows as f64),
            ),
            metric(
                "millrace_backlog_bytes",
                "Bytes that were given a timestamp and are not finished.",
                MetricKind::Gauge,
                one(self.runtime.backlog() as f64),
            ),
        ]);
        metrics
    }

    fn source_metrics(&self, catalog: &Catalog) -> Vec<Metric> {
        let name = |id| catalog.get(id).map_or_else(String::new, |entry| entry.name.clone());
        let sources = self.ingest.status();
        let of_sources = |value: &dyn Fn(&super::ingest::SourceStatus) -> f64| -> Vec<Sample> {
            let sample = |source: &super::ingest::SourceStatus| Sample {
                labels: vec![("source", name(source.id))],
                value: value(source),
            };
            sources.iter().map(sample).collect()
        };
        vec![
            metric(
                "millrace_source_records_total",
                "Records read from a source.",
                MetricKind::Counter,
                of_sources(&|source| source.records as f64),
            ),
            metric(
                "millrace_source_errors",
                "Undecodable records that are kept for a source.",
                MetricKind::Gauge,
                of_sources(&|source| source.errors as f64),
            ),
            metric(
                "millrace_source_lag_records",
                "Records that a source has and that are not read yet.",
                MetricKind::Gauge,
                of_sources(&|source| source.lag.unwrap_or(0) as f64),
            ),
        ]
    }
}

fn metric(name: &'static str, help: &'static str, kind: MetricKind, samples: Vec<Sample>) -> Metric {
    Metric { name, help, kind, samples }
}
