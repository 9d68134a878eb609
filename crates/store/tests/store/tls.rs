//! TLS to Postgres. The server's side is a stand-in that answers the request for TLS, ends it, and passes everything on to the
//! real Postgres, so that neither a key nor a server of its own is needed.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use picket_store::{Db, DbSettings, DbTls, Notice, StoreError, migrate_secured};
use picket_testkit::Database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// How a client asks for TLS: length, and the number that stands for it (PostgreSQL, message formats, SSLRequest).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

struct Front {
    address: SocketAddr,
    /// Connections that came through TLS.
    secured: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

impl Front {
    /// In front of that server, with a certificate for `name`.
    async fn start(server: String, name: &str) -> Self {
        let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), key.cert.pem()).unwrap();
        let chain = vec![CertificateDer::from(key.cert.der().to_vec())];
        let private = PrivateKeyDer::from_pem_slice(key.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .unwrap();
        let (listener, acceptor) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TlsAcceptor::from(Arc::new(config)));
        let (address, secured) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = secured.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, acceptor.clone(), server.clone(), count.clone()));
            }
        });
        Self { address, secured, folder }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The URL of the database, by way of this front, which is called by that name.
    fn url(&self, database: &Database, name: &str) -> String {
        let url = database.url();
        let (before, rest) = url.split_once('@').unwrap();
        let (_, after) = rest.split_once('/').unwrap();
        format!("{before}@{name}:{}/{after}", self.address.port())
    }
}

async fn pass_on(mut client: TcpStream, acceptor: TlsAcceptor, server: String, secured: Arc<AtomicUsize>) {
    let mut request = [0; 8];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request, SSL_REQUEST, "nothing is said before TLS is asked for");
    client.write_all(b"S").await.unwrap();
    let Ok(mut client) = acceptor.accept(client).await else { return };
    secured.fetch_add(1, Ordering::SeqCst);
    let mut server = TcpStream::connect(server).await.unwrap();
    // How a connection ends is its ends' affair.
    let _ended = copy_bidirectional(&mut client, &mut server).await;
}

/// Host and port of a database's server.
fn server(database: &Database) -> String {
    let url = database.url();
    url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned()
}

fn db(url: String, tls: &DbTls) -> Db {
    Db::secured(&DbSettings { url, max_connections: 2, wait: Duration::from_secs(10) }, tls).unwrap()
}

#[tokio::test]
async fn every_connection_is_secured_where_that_is_demanded() {
    let database = Database::new().await;
    let front = Front::start(server(&database), "localhost").await;
    let (tls, url) = (DbTls::require(&front.authority()).unwrap(), front.url(&database, "localhost"));
    let db = db(url.clone(), &tls);
    db.ping().await.unwrap();
    let secured = db.operate("test", async |_| Ok::<_, StoreError>(())).await;
    secured.unwrap();
    assert_eq!(migrate_secured(&url, &tls).await.unwrap(), 0);
    let pooled = front.secured.load(Ordering::SeqCst);
    // The listener of hints has a connection of its own.
    let mut notices = db.listen(Notice::Tasks);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let client = database.connect().await;
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        notices.wait(Duration::from_millis(20)).await;
    }
    assert_eq!(front.secured.load(Ordering::SeqCst), pooled + 1);
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_or_has_another_name_is_told_nothing() {
    let database = Database::new().await;
    let front = Front::start(server(&database), "localhost").await;
    let other = Front::start(server(&database), "db.example").await;
    let wrong = DbTls::require(&other.authority()).unwrap();
    assert!(db(front.url(&database, "localhost"), &wrong).ping().await.is_err(), "another authority");
    assert!(db(other.url(&database, "localhost"), &wrong).ping().await.is_err(), "another name");
    assert!(migrate_secured(&front.url(&database, "localhost"), &wrong).await.is_err());
    assert_eq!(front.secured.load(Ordering::SeqCst) + other.secured.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_and_no_url_weakens_that() {
    let database = Database::new().await;
    let front = Front::start(server(&database), "localhost").await;
    let tls = DbTls::require(&front.authority()).unwrap();
    // The stack's own Postgres has no TLS.
    for query in ["", "?sslmode=disable", "?sslmode=prefer"] {
        let refused = db(format!("{}{query}", database.url()), &tls).ping().await;
        assert!(refused.is_err(), "{query}");
    }
    // Nor is a demand of the URL forgotten where no authority is set.
    let off = DbTls::off().unwrap();
    let demanded = format!("{}?sslmode=require", front.url(&database, "localhost"));
    assert!(db(demanded, &off).ping().await.is_err());
    db(database.url(), &off).ping().await.unwrap();
}

#[test]
fn authorities_are_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    assert!(DbTls::require(&file).is_err());
    std::fs::write(&file, "no certificate").unwrap();
    assert!(DbTls::require(&file).is_err());
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(DbTls::require(&file).is_err());
}
