use super::*;

/// All that is in the tables, as text, but for which database it is.
async fn contents(pool: &SqlitePool) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in [
        ("patients", "id || name || born || ward"),
        ("products", "id || name || price_cents"),
        ("sample_products", "id || name || price_cents"),
        ("prescriptions", "id || patient || ' ' || product || ' ' || per_day || days || issued"),
    ] {
        let tenant = if table == "sample_products" { "''" } else { "tenant" };
        let rows = format!("SELECT {tenant} || ' ' || {columns} FROM {table} ORDER BY 1");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(pool).await.unwrap();
        all.push(format!("{table} {}", rows.len()));
        all.extend(rows);
    }
    all
}

async fn numbers(pool: &SqlitePool, query: &str) -> Vec<i64> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

fn at(folder: &TempDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(folder.path().join("app.db"))
}

#[tokio::test]
async fn it_is_filled_alike_each_time_and_with_what_makes_sense() {
    let (one, two) = (Database::open(None).await.unwrap(), Database::open(None).await.unwrap());
    let contents = (contents(&one.pool).await, contents(&two.pool).await);
    assert!(contents.0 == contents.1, "two databases differ");
    assert_ne!(one.identity, two.identity);
    for (query, expected) in [
        ("SELECT count(*) FROM patients GROUP BY tenant ORDER BY tenant", &[4000, 6000][..]),
        ("SELECT count(*) FROM prescriptions GROUP BY tenant ORDER BY tenant", &[20_000, 30_000]),
        ("SELECT count(*) FROM products GROUP BY tenant ORDER BY tenant", &[800, 1200]),
        ("SELECT count(DISTINCT ward) FROM patients", &[12]),
        ("SELECT count(*) FROM patients WHERE born IS NOT date(born)", &[0]),
        ("SELECT count(*) FROM prescriptions WHERE issued IS NOT date(issued)", &[0]),
        ("SELECT count(*) FROM products WHERE id > 1000 AND name NOT LIKE '%_ % mg'", &[0]),
        ("SELECT count(*) FROM prescriptions WHERE product < 1001", &[0]),
        ("SELECT count(*) FROM pragma_foreign_key_check", &[0]),
        ("SELECT count(*) FROM sqlite_temp_master", &[0]),
    ] {
        assert_eq!(numbers(&one.pool, query).await, expected, "{query}");
    }
    // Tenants' data differ: hardly anybody of one id has the same name.
    let alike = "SELECT count(*) FROM patients a JOIN patients b ON a.id = b.id AND a.name = b.name \
                 WHERE a.tenant = 'public' AND b.tenant = 'globex'";
    assert!(numbers(&one.pool, alike).await[0] < 40);
    let folder = one.own.as_ref().unwrap().path().to_owned();
    one.close().await;
    assert!(!folder.exists(), "it is left behind");
}

#[tokio::test]
async fn a_file_is_filled_once_also_by_several_at_the_same_time() {
    let folder = TempDir::new().unwrap();
    let open = || Database::open(Some(at(&folder)));
    let (one, two, three, four) = tokio::join!(open(), open(), open(), open());
    let mut identities = Vec::new();
    for one in [one, two, three, four] {
        let one = one.unwrap();
        assert_eq!(numbers(&one.pool, "SELECT count(*) FROM patients").await, [10_000]);
        identities.push(one.identity.clone());
        one.close().await;
    }
    identities.dedup();
    assert_eq!(identities.len(), 1);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut other = at(&folder).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE products (x)").execute(&mut other).await.unwrap();
    let said = Database::open(Some(at(&folder))).await.err().unwrap().to_string();
    assert!(said.contains("app.db") && said.contains("products already exists"), "{said}");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master").fetch_all(&mut other).await.unwrap();
    assert_eq!(tables, ["products"], "nothing of ours is left");
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut other).await.unwrap();
    let said = Database::open(Some(at(&folder))).await.err().unwrap().to_string();
    assert!(said.contains("newer program"), "{said}");
}
