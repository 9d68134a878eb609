//! Many organizations and people at once, written straight into the database: registering each would be a bench of its own.

use hyper::StatusCode;
use picket_domain::{ApiKeyId, OrganizationId, ScanId, Subscription, UserId};
use picket_testkit::seed;
use rand::RngCore;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Failure, http::Client, platform::Platform};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Crockford's alphabet in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A scan, and a key that may read it.
pub(crate) struct Seeded {
    pub(crate) id: ScanId,
    pub(crate) key: String,
}

/// So many organizations on the largest plan, with a scan and a key each.
pub(crate) async fn scans(platform: &Platform, organizations: usize) -> Result<Vec<Seeded>, Failure> {
    let owner = platform.database.connect().await;
    let mut all = Vec::new();
    for number in 0..organizations {
        let organization = seed::organization(&platform.database, Subscription::Enterprise).await;
        let user = person(&owner, organization, &format!("seeded-{number}@example.com"), "-").await?;
        let key = key_text();
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let id = ApiKeyId::mint(platform.clock.now());
        owner
            .execute(
                "INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes)
                 VALUES ($1, $2, $3, now(), 'bench', 'pk_', $4, ARRAY['scans:read'])",
                &[&id.uuid(), &organization.uuid(), &user.uuid(), &digest.as_slice()],
            )
            .await?;
        let (scan, now) = (seed::scan(organization, 1), platform.clock.now());
        let id = scan.id;
        platform
            .db
            .run("bench.seed", organization, async |tx| picket_store::scans::create(tx, &scan, now).await)
            .await?;
        all.push(Seeded { id, key });
    }
    Ok(all)
}

/// Addresses of so many people with one password; its hash is made once, by the API itself.
pub(crate) async fn people(platform: &Platform, people: usize) -> Result<Vec<String>, Failure> {
    let mut anybody = Client::connect(platform.address, None).await?;
    let first = json!({"email": "first@example.com", "password": PASSWORD, "name": "Ada"});
    anybody.post("/api/v1/auth/register", first.to_string().into(), StatusCode::CREATED).await?;
    let owner = platform.database.connect().await;
    let row = owner.query_one("SELECT password_hash FROM users WHERE email = 'first@example.com'", &[]).await?;
    let hash: String = row.try_get(0)?;
    let mut all = Vec::new();
    for number in 0..people {
        let organization = seed::organization(&platform.database, Subscription::Enterprise).await;
        let email = format!("person-{number}@example.com");
        person(&owner, organization, &email, &hash).await?;
        all.push(email);
    }
    Ok(all)
}

async fn person(
    owner: &tokio_postgres::Client,
    organization: OrganizationId,
    email: &str,
    hash: &str,
) -> Result<UserId, Failure> {
    let id = UserId::mint(picket_kit::Clock::system().now());
    owner
        .execute(
            "WITH person AS (
               INSERT INTO users (id, created_at, email, name, password_hash) VALUES ($1, now(), $3, 'Ada', $4)
               RETURNING id
             )
             INSERT INTO memberships (organization_id, user_id, role, created_at)
             SELECT $2, id, 'owner', now() FROM person",
            &[&id.uuid(), &organization.uuid(), &email, &hash],
        )
        .await?;
    Ok(id)
}

/// A key in the form that the gateway knows: `pk_`, 160 random bits, and their CRC-32.
fn key_text() -> String {
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    let digit =
        |value: u32| char::from(ALPHABET.get(usize::try_from(value & 31).unwrap_or_default()).copied().unwrap_or(b'0'));
    let secret: String = random.iter().map(|byte| digit(u32::from(*byte))).collect();
    let sum = crc32fast::hash(secret.as_bytes());
    let sum: String = (0..7).rev().map(|place: u32| digit(sum >> (place * 5))).collect();
    format!("pk_{secret}{sum}")
}
