//! What actix-web does by itself: a handler that returns a constant, and one that makes one query on a pool as large as the
//! gateway's.

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use picket_testkit::Database;
use tokio_postgres::{NoTls, types::ToSql};

use crate::{Failure, platform::CONNECTIONS};

/// What the query of the gateway begins with, as the connection's own role and without a tenant.
const QUERY: &str = "SELECT id, number, target, state, created_at::text AS created_at FROM scans WHERE id = $1";

/// A running server; it stops with the bench.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
}

impl Bare {
    pub(crate) async fn start(database: &Database) -> Result<Self, Failure> {
        let manager = Manager::from_config(
            database.url().parse()?,
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager).max_size(CONNECTIONS).build()?;
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(pool.clone()))
                .route("/constant", web::get().to(async || HttpResponse::Ok().body(r#"{"status":"created"}"#)))
                .route("/query/{id}", web::get().to(query))
        })
        .keep_alive(std::time::Duration::from_secs(75))
        .client_request_timeout(std::time::Duration::from_secs(75))
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().copied().ok_or("no address")?;
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { address, handle })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn query(pool: web::Data<Pool>, id: web::Path<String>) -> HttpResponse {
    match one_row(&pool, &id).await {
        Ok(row) => HttpResponse::Ok().json(row),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn one_row(pool: &Pool, id: &str) -> Result<serde_json::Value, Failure> {
    let id: uuid::Uuid = id.parse()?;
    let client = pool.get().await?;
    let statement = client.prepare_cached(QUERY).await?;
    let parameters: [&(dyn ToSql + Sync); 1] = [&id];
    let row = client.query_one(&statement, &parameters).await?;
    Ok(serde_json::json!({
        "id": row.try_get::<_, uuid::Uuid>("id")?.to_string(),
        "number": row.try_get::<_, i64>("number")?,
        "target": row.try_get::<_, String>("target")?,
        "status": row.try_get::<_, String>("state")?,
        "created_at": row.try_get::<_, String>("created_at")?,
    }))
}
