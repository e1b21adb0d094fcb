//! What tests left behind that were killed outright.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use testcontainers::bollard::{
    Docker,
    query_parameters::{
        ListContainersOptionsBuilder, PruneNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};

use super::LABEL;

/// No test runs for so long.
const OLD: Duration = Duration::from_secs(3600);

/// Removes what is ours and old; failures are left to the next sweep, and another one may be at
/// work at the same time.
pub(super) async fn sweep(docker: &Docker) {
    let ours = |kind| HashMap::from([("label", vec![format!("{LABEL}={kind}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&ours("container"));
    let listed = docker.list_containers(Some(options.build())).await;
    for container in listed.unwrap_or_default() {
        if let (Some(id), Some(created)) = (container.id, container.created)
            && is_old(created)
        {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            let _ = docker.remove_container(&id, Some(options)).await;
        }
    }
    let mut filters = ours("network");
    filters.insert("until", vec![format!("{}s", OLD.as_secs())]);
    let options = PruneNetworksOptionsBuilder::new().filters(&filters).build();
    let _ = docker.prune_networks(Some(options)).await;
}

#[expect(clippy::disallowed_methods, reason = "the engine tells the age by the wall clock")]
fn is_old(created: i64) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let created = u64::try_from(created).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(created)) > OLD
}
