//! Health and figures over HTTP, for those who watch the server; nothing can be changed through it.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::watch::shut_down;
use crate::engine::{Database, Metric, MetricKind};

/// Serves until `shutdown` becomes true.
pub async fn serve_http(listener: TcpListener, database: Arc<Database>, mut shutdown: watch::Receiver<bool>) {
    let stopping = shutdown.clone();
    let app = Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(move || async move { ready(*stopping.borrow()) }))
        .route("/metrics", get(metrics))
        .with_state(database);
    let stop = async move { shut_down(&mut shutdown).await };
    if let Err(error) = serve(listener, app).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the HTTP endpoint failed");
    }
}

/// Statements are taken from the moment the port is open until the server stops.
fn ready(is_stopping: bool) -> impl IntoResponse {
    match is_stopping {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn metrics(State(database): State<Arc<Database>>) -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, prometheus_text(&database.metrics()))
}

/// Prometheus' exposition format.
fn prometheus_text(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let (name, help) = (metric.name, escaped(metric.help, false));
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes everything");
        for sample in &metric.samples {
            text.push_str(name);
            for (index, (label, value)) in sample.labels.iter().enumerate() {
                let opening = if index == 0 { '{' } else { ',' };
                write!(text, "{opening}{label}=\"{}\"", escaped(value, true)).expect("a String takes everything");
            }
            let closing = if sample.labels.is_empty() { "" } else { "}" };
            writeln!(text, "{closing} {}", sample.value).expect("a String takes everything");
        }
    }
    text
}

fn escaped(text: &str, in_quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if in_quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Sample;

    #[test]
    fn metrics_are_printed_as_prometheus_reads_them() {
        let metrics = [Metric {
            name: "millrace_view_rows",
            help: "Rows of a view.",
            kind: MetricKind::Gauge,
            samples: vec![
                Sample { labels: vec![("view", "a\"b".into()), ("schema", "public".into())], value: 3.0 },
                Sample { labels: vec![], value: 0.5 },
            ],
        }];
        let expected = "# HELP millrace_view_rows Rows of a view.\n# TYPE millrace_view_rows gauge\n\
                        millrace_view_rows{view=\"a\\\"b\",schema=\"public\"} 3\nmillrace_view_rows 0.5\n";
        assert_eq!(prometheus_text(&metrics), expected);
    }
}
