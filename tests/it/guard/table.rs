//! Figure 1: each fault at each site, what callers see of it, and how soon it is over.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_keep_redis::{Connection, ConnectionState};
use tower_keep_tests::wait_until;

use super::{
    BACK, DEADLINE,
    callers::Callers,
    config, connected, flood, ms, reaches,
    stage::{Fault, Site, Stage},
};

async fn row(fault: Fault, site: Site) {
    let mut stage = Stage::set(site, &Callers::keys()).await;
    let connection = connected(config(&stage.url())).await;
    let callers = Callers::start(&connection);
    sleep(ms(300)).await;

    let since = Instant::now();
    stage.harm(fault).await;
    let seen = match fault {
        Fault::ScriptFlush | Fault::ClientKill => false,
        Fault::Wedge => {
            flood(&connection).await;
            true
        }
        _ => true,
    };
    if seen {
        assert!(reaches(&connection, ConnectionState::Down, ms(3000)).await, "not noticed");
    }
    if fault != Fault::Wedge && seen {
        sleep(ms(1500).saturating_sub(since.elapsed())).await;
        // A failover may be over by now.
        assert!(site == Site::Sentinel || connection.state() == ConnectionState::Down);
    }
    stage.heal(fault).await;
    let healed = Instant::now();
    let up = wait_until(BACK, || answers(&connection)).await;
    let recovery = healed.elapsed();
    sleep(ms(300)).await;
    let report = callers.finish(&stage, since).await;

    let health = connection.health();
    println!(
        "| {fault:?} | {site:?} | {} | {} | {} of {} | {} | {recovery:.0?} |",
        shown(report.first),
        shown(report.open),
        report.wrong,
        report.answers,
        report.after_not_sent,
    );
    assert!(up, "not back after {BACK:?}: {health:?}");
    assert_eq!(report.wrong, 0, "wrong answers");
    assert_eq!(report.after_not_sent, 0, "carried out after NotSent");
    assert!(report.answers > 100, "{} answers", report.answers);
    assert!(report.first.is_none_or(|first| first < DEADLINE + ms(2000)), "{:?}", report.first);
    assert!(report.open.is_none_or(|open| open < ms(1)), "{:?}", report.open);
    match fault {
        Fault::ScriptFlush => assert_eq!(health.openings, 0, "{health:?}"),
        Fault::Wedge => assert!(health.replacements >= 1, "{health:?}"),
        _ => {}
    }
}

/// Whether commands are answered wherever the callers' keys are.
async fn answers(connection: &Connection) -> bool {
    for key in Callers::keys() {
        let exists = connection.command("EXISTS", Some(&key), vec![key.as_str().into()]);
        if exists.await.is_err() {
            return false;
        }
    }
    true
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "none".to_owned(), |time| format!("{time:.1?}"))
}

/// One test per row.
macro_rules! rows {
    ($($name:ident: $fault:ident at $site:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                row(Fault::$fault, Site::$site).await;
            }
        )+
    };
}

rows! {
    killed_redis: Kill at Redis,
    killed_valkey: Kill at Valkey,
    killed_cluster: Kill at Cluster,
    stopped_redis: Stop at Redis,
    stopped_valkey: Stop at Valkey,
    stopped_cluster: Stop at Cluster,
    clients_killed_redis: ClientKill at Redis,
    clients_killed_valkey: ClientKill at Valkey,
    clients_killed_cluster: ClientKill at Cluster,
    cut_redis: CutLink at Redis,
    cut_valkey: CutLink at Valkey,
    cut_cluster: CutLink at Cluster,
    half_open_redis: HalfOpen at Redis,
    half_open_valkey: HalfOpen at Valkey,
    half_open_cluster: HalfOpen at Cluster,
    wedged_redis: Wedge at Redis,
    wedged_valkey: Wedge at Valkey,
    wedged_cluster: Wedge at Cluster,
    scripts_flushed_redis: ScriptFlush at Redis,
    scripts_flushed_valkey: ScriptFlush at Valkey,
    scripts_flushed_cluster: ScriptFlush at Cluster,
    killed_sentinel: Kill at Sentinel,
    stopped_sentinel: Stop at Sentinel,
    clients_killed_sentinel: ClientKill at Sentinel,
    scripts_flushed_sentinel: ScriptFlush at Sentinel,
}
