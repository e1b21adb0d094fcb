//! The database, `SQLite`, in a file of the program's own or in the one that it was given.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tower_keep::BoxError;

use crate::problem::Problem;

/// What brings a database to its present form, in order. One that is out stays as it is.
const MIGRATIONS: [&str; 2] =
    [include_str!("database/1-tables.sql"), include_str!("database/2-seed.sql")];

/// How many connections there are. More would only wait for the processors.
const CONNECTIONS: u32 = 8;
/// How long a request waits for one, and for who writes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one process that starts waits for another that does.
const WRITERS: Duration = Duration::from_secs(20);

/// Where the data are. Cheap to clone the parts of; the file ends with it if it is the program's own.
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    /// Which database it is, whoever has opened it.
    pub(crate) identity: String,
    /// The folder that ends with this.
    #[cfg_attr(not(test), expect(dead_code, reason = "held until it is dropped"))]
    own: Option<TempDir>,
}

impl Database {
    /// The database that `options` name, or else one in a private folder that is gone when this is.
    /// It is made and filled if it is not there yet; of several processes one does that.
    pub(crate) async fn open(options: Option<SqliteConnectOptions>) -> Result<Self, BoxError> {
        let (options, own) = if let Some(options) = options {
            (options, None)
        } else {
            let folder = tempfile::Builder::new().prefix("axum-app-").tempdir()?;
            let file = folder.path().join("app.db");
            (SqliteConnectOptions::new().filename(file), Some(folder))
        };
        let options = options.create_if_missing(true).busy_timeout(WRITERS);
        let begun = Instant::now();
        let (identity, had) = prepare(&options).await.map_err(|error| {
            let file = options.get_filename().display();
            format!("cannot use the database {file}: {error}; DATABASE_URL names another")
        })?;
        log(options.get_filename(), own.is_some(), had, begun.elapsed());
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .connect_with(options.busy_timeout(PATIENCE))
            .await?;
        Ok(Self { pool, identity, own })
    }

    /// Closes it, once those who use it are done.
    pub(crate) async fn close(self) {
        self.pool.close().await;
    }
}

fn log(file: &Path, own: bool, had: usize, took: Duration) {
    let file = file.display();
    if had == 0 {
        tracing::info!("made and filled the database {file} in {took:.2?}");
    } else {
        tracing::info!("using the database {file}");
    }
    if own {
        tracing::info!("it ends with the program: DATABASE_URL names one that stays");
    }
}

/// Which database it is, and how many of the migrations it had.
async fn prepare(options: &SqliteConnectOptions) -> Result<(String, usize), BoxError> {
    // Rows are not looked up one by one while all are made, nor is all that is said a slow query.
    let options = options.clone().foreign_keys(false).disable_statement_logging();
    let mut connection = options.connect().await?;
    write_ahead(&mut connection).await?;
    let had = migrate(&mut connection).await?;
    let identity = sqlx::query_scalar("SELECT name FROM identity");
    let identity = identity.fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((identity, had))
}

/// Lets readers go on while one writes. The file remembers it.
async fn write_ahead(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let end = Instant::now() + WRITERS;
    loop {
        // Whoever else begins at the same time is no reason for `SQLite` to wait here.
        match sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(error) if is_busy(&error) && Instant::now() < end => {
                sleep(Duration::from_millis(20)).await;
            }
            done => return done.map(drop),
        }
    }
}

/// Whether somebody else writes: `SQLITE_BUSY` and what is said of it, in the upper bits.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    code.is_some_and(|code: i32| code & 0xff == 5)
}

/// All of what is missing, or nothing: how many were there already.
async fn migrate(connection: &mut SqliteConnection) -> Result<usize, BoxError> {
    // From here on others wait.
    let mut step = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *step).await?;
    let had = usize::try_from(version).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.get(had..).ok_or("a newer program has made it")?;
    for migration in missing {
        sqlx::raw_sql(migration).execute(&mut *step).await?;
    }
    let version = format!("PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(&version).execute(&mut *step).await?;
    step.commit().await?;
    Ok(had)
}

/// What a request is answered with whose data could not be had or written.
pub(crate) fn failed(error: &sqlx::Error) -> Problem {
    tracing::error!("the database: {error}");
    Problem::busy("the database does not answer")
}

#[cfg(test)]
mod tests;
