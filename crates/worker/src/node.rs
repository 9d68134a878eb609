//! What the network helper of the node counts, as metrics: the helper has no port and knows no metrics, so each worker that
//! uses it tells for it. Never asks for more than how it stands.

use std::{sync::Arc, time::Duration};

use picket_kit::Shutdown;
use picket_sandbox::{NetdStatus, Sandbox};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// Looks until `ended`; not at all where no helper is configured.
pub(crate) async fn watch(sandbox: &Arc<Sandbox>, ended: &Shutdown) {
    loop {
        let asked = Arc::clone(sandbox);
        // A socket of this node, asked for less than a second.
        match tokio::task::spawn_blocking(move || asked.helper()).await {
            Ok(None) => return,
            Ok(Some(Ok(status))) => tell(Some(&status)),
            Ok(Some(Err(_))) | Err(_) => tell(None),
        }
        if ended.or(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

/// Numbers of a helper that does not answer stay as they were.
fn tell(status: Option<&NetdStatus>) {
    metrics::gauge!("picket_netd_up").set(if status.is_some() { 1.0 } else { 0.0 });
    if let Some(status) = status {
        metrics::gauge!("picket_netd_runs").set(f64::from(status.slots));
        let dropped = u32::try_from(status.dropped_packets).unwrap_or(u32::MAX);
        metrics::gauge!("picket_netd_dropped_packets").set(f64::from(dropped));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helpers_own_numbers_are_exported_and_stay_when_it_is_gone() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let told = |status: Option<&NetdStatus>| {
            metrics::with_local_recorder(&recorder, || tell(status));
            recorder.handle().render()
        };
        let text = told(Some(&NetdStatus { slots: 3, dropped_packets: 42 }));
        for line in ["picket_netd_up 1", "picket_netd_runs 3", "picket_netd_dropped_packets 42"] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
        let text = told(None);
        assert!(text.contains("picket_netd_up 0") && text.contains("picket_netd_dropped_packets 42"), "{text}");
    }
}
