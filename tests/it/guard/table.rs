//! Figure 1: each fault at each site, what callers see of it, and how soon it is over.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_keep_redis::{Connection, ConnectionState};
use tower_keep_tests::{prompt_once, wait_until};

use super::{
    BACK, DEADLINE, PATIENT, PROMISED,
    callers::{Callers, Report},
    config, connected, flood, ms, reaches,
    stage::{Fault, Place, Site, Stage},
};

/// No failover because of a link.
const PATIENT_SENTINELS: Duration = Duration::from_secs(10);
const SENTINELS: Duration = Duration::from_secs(2);

/// What one try has shown.
struct Seen {
    report: Report,
    recovery: Duration,
}

impl Seen {
    /// Whether all was as quick as is promised, and not only nearly so.
    fn is_prompt(&self) -> bool {
        let in_time = self.report.slowest.is_none_or(|slowest| slowest < DEADLINE + ms(50));
        let at_once = self.report.open.is_none_or(|open| open < ms(1));
        in_time && at_once && self.recovery < PROMISED
    }
}

async fn row(fault: Fault, site: Site) {
    prompt_once(async || {
        let seen = attempt(fault, site).await;
        let Seen { report, recovery, .. } = &seen;
        println!(
            "| {fault:?} | {site:?} | {} | {} | {} | {} of {} | {} | {recovery:.0?} |",
            shown(report.first),
            shown(report.slowest),
            shown(report.open),
            report.wrong,
            report.answers,
            report.after_not_sent,
        );
        seen.is_prompt()
    })
    .await;
}

async fn attempt(fault: Fault, site: Site) -> Seen {
    let patience = if fault.takes_the_server() { SENTINELS } else { PATIENT_SENTINELS };
    let mut stage = Stage::set(site, patience, &Callers::keys()).await;
    let mut config = config(&stage.url());
    if fault == Fault::ScriptFlush {
        // It opens no breaker; a machine that stands still for longer than the deadline would.
        config = config.with_timeout(PATIENT);
    }
    let connection = connected(config).await;
    let callers = Callers::start(&connection);
    assert!(callers.are_answered(100).await, "the callers are not answered");

    let since = Instant::now();
    stage.harm(fault).await;
    let seen = !matches!(fault, Fault::ScriptFlush | Fault::ClientKill);
    if fault == Fault::Wedge {
        flood(&connection).await;
    }
    if seen {
        assert!(reaches(&connection, ConnectionState::Down, ms(3000)).await, "not noticed");
    }
    if fault != Fault::Wedge && seen {
        sleep(ms(1500).saturating_sub(since.elapsed())).await;
        // A failover may be over by now.
        let over = site.place == Place::Sentinel && fault.takes_the_server();
        let health = connection.health();
        assert!(over || health.state == ConnectionState::Down, "{health:?}");
    }
    stage.heal(fault).await;
    let healed = Instant::now();
    let up = wait_until(BACK, || answers(&connection)).await;
    let recovery = healed.elapsed();
    let again = callers.are_answered(100).await;
    let report = callers.finish(&stage, since).await;

    let health = connection.health();
    assert!(up, "not back after {BACK:?}: {health:?}");
    assert_eq!(report.wrong, 0, "wrong answers");
    assert_eq!(report.after_not_sent, 0, "carried out after NotSent");
    assert!(again, "not answered any more: {report:?}");
    assert!(report.slowest.is_none_or(|slowest| slowest < PATIENT), "{report:?}");
    assert!(report.open.is_none_or(|open| open < ms(50)), "{report:?}");
    assert!(fault != Fault::Wedge || health.replacements >= 1, "{health:?}");
    assert!(fault != Fault::ScriptFlush || health.openings == 0, "{health:?}");
    Seen { report, recovery }
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

/// One test per fault and site.
macro_rules! rows {
    ($($name:ident: $fault:ident),+ $(,)?) => {
        $(
            mod $name {
                use tower_keep_tests::Flavor::{Redis, Valkey};

                use super::{Fault, Place::{Cluster, Sentinel, Single}, Site, row};

                rows! {
                    $fault
                    redis: Single Redis,
                    valkey: Single Valkey,
                    cluster_of_redis: Cluster Redis,
                    cluster_of_valkey: Cluster Valkey,
                    sentinels_of_redis: Sentinel Redis,
                    sentinels_of_valkey: Sentinel Valkey,
                }
            }
        )+
    };
    ($fault:ident $($name:ident: $place:ident $flavor:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                row(Fault::$fault, Site::new($place, $flavor)).await;
            }
        )+
    };
}

rows! {
    killed: Kill,
    stopped: Stop,
    clients_killed: ClientKill,
    cut: CutLink,
    half_open: HalfOpen,
    vanished: Vanish,
    wedged: Wedge,
    scripts_flushed: ScriptFlush,
}
