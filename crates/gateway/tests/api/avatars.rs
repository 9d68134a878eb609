//! Pictures of people over HTTP; what files do to the decoder is tested beside it.

use std::path::Path;

use image::{DynamicImage, ImageFormat};

use crate::harness::{TestApp, nobody};

/// A picture of that size.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(&DynamicImage::new_rgb8(width, height), ImageFormat::Png)
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// How many files are below a folder.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_person_sets_replaces_and_takes_away_a_picture() {
    let app = TestApp::spawn().await;
    let token = app.member("ada@example.com").await.token;
    let get = async || app.get("/api/v1/auth/avatar", Some(&token)).await;
    get().await.assert_problem(404, "not_found");
    let set = app.put_picture(&token, "image/png", png(300, 200)).await;
    assert_eq!(set.status, 200, "{}", set.text);
    assert_eq!(set.json(), serde_json::json!({"avatar_url": "/api/v1/auth/avatar", "size": 256}));
    for version in ["v1", "v2"] {
        let me = app.get(&format!("/api/{version}/auth/me"), Some(&token)).await.json();
        assert_eq!(me["avatar_url"], format!("/api/{version}/auth/avatar"));
    }
    let first = app.request("GET", "/api/v1/auth/avatar", Some(&token), |request| request).await;
    assert_eq!(first.status, 200);
    let headers = [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("content-disposition", "inline; filename=\"avatar.png\""),
        ("cache-control", "private, no-cache"),
    ];
    for (name, value) in headers {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    let etag = first.header("etag").unwrap().to_owned();
    let known = async |etag: &str| {
        app.request("GET", "/api/v1/auth/avatar", Some(&token), |request| request.header("if-none-match", etag)).await
    };
    assert_eq!(known(&etag).await.status, 304);

    let webp = encoded(&DynamicImage::new_rgba8(10, 10), ImageFormat::WebP);
    assert_eq!(app.put_picture(&token, "image/webp; q=1", webp).await.status, 200);
    assert_eq!(known(&etag).await.status, 200, "another picture has another tag");
    assert_eq!(files(&app.folder.path().join("avatars")), 1, "the one before is gone");

    assert_eq!(app.delete("/api/v1/auth/avatar", Some(&token)).await.status, 204);
    get().await.assert_problem(404, "not_found");
    assert_eq!(files(&app.folder.path().join("avatars")), 0);
    let client = app.database.connect().await;
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'user.avatar_changed'";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 3);
}

#[tokio::test]
async fn nobody_gets_the_picture_of_another() {
    let app = TestApp::spawn().await;
    let (ada, bob) = (app.member("ada@example.com").await, app.member("bob@example.com").await);
    assert_eq!(app.put_picture(&ada.token, "image/png", png(8, 8)).await.status, 200);
    app.get("/api/v1/auth/avatar", Some(&bob.token)).await.assert_problem(404, "not_found");
    assert_eq!(app.delete("/api/v1/auth/avatar", Some(&bob.token)).await.status, 204);
    assert_eq!(app.get("/api/v2/auth/avatar", Some(&ada.token)).await.status, 200);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_nothing_is_kept() {
    let app = TestApp::spawn().await;
    let token = app.member("ada@example.com").await.token;
    let svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for media_type in ["image/svg+xml", "image/gif", "text/html", "application/json", "multipart/form-data", ""] {
        let answer = app.put_picture(&token, media_type, svg).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    let put = async |file: Vec<u8>| app.put_picture(&token, "image/png", file).await;
    put(svg.into()).await.assert_field("(body)", "invalid_image");
    put(Vec::new()).await.assert_field("(body)", "invalid_image");
    put(b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()).await.assert_field("(body)", "invalid_image");
    put(png(64, 64)[..60].to_vec()).await.assert_field("(body)", "invalid_image");
    // Thirty thousand pixels a side in a hundred bytes.
    let mut bomb = png(8, 8);
    bomb[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let checksum = crc32fast::hash(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&checksum);
    put(bomb).await.assert_field("(body)", "image_too_large");
    let squeezed = app
        .request("PUT", "/api/v1/auth/avatar", Some(&token), |request| {
            request.header("content-type", "image/png").header("content-encoding", "gzip").body(png(8, 8))
        })
        .await;
    squeezed.assert_problem(415, "unsupported_media_type");
    assert_eq!(files(app.folder.path()), 0);
}

#[tokio::test]
async fn a_picture_of_more_than_two_mebibytes_is_too_large() {
    let app = TestApp::spawn().await;
    let token = app.member("ada@example.com").await.token;
    let mut file = png(8, 8);
    file.resize(2 * 1024 * 1024, 0);
    assert_eq!(app.put_picture(&token, "image/png", file.clone()).await.status, 200);
    file.push(0);
    app.put_picture(&token, "image/png", file.clone()).await.assert_problem(413, "too_large");
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(file)]));
    app.put_picture(&token, "image/png", stream).await.assert_problem(413, "too_large");
}

#[tokio::test]
async fn a_picture_is_never_fetched_from_elsewhere() {
    let app = TestApp::spawn().await;
    let token = app.member("ada@example.com").await.token;
    let address = nobody();
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{address}/avatar.png");
    let answer = app
        .request("PUT", "/api/v1/auth/avatar", Some(&token), |request| {
            request.json(&serde_json::json!({"avatar_url": url}))
        })
        .await;
    answer.assert_problem(415, "unsupported_media_type");
    app.put_picture(&token, "image/png", url).await.assert_field("(body)", "invalid_image");
    assert!(listener.accept().is_err(), "nobody called");
}

#[tokio::test]
async fn a_decoder_that_breaks_takes_nobody_with_it() {
    for (program, args) in [
        ("/bin/sh", ["-c", "cat >/dev/null; kill -SEGV $$"]),
        ("/bin/sh", ["-c", "cat >/dev/null; kill -KILL $$"]),
        ("/bin/sh", ["-c", "exec cat /dev/zero"]),
        ("/bin/sh", ["-c", "cat >/dev/null; echo '<script>alert(1)</script>'"]),
        ("/bin/sh", ["-c", "exit 0"]),
    ] {
        let app = TestApp::spawn_decoding_by(program, &args).await;
        let token = app.member("ada@example.com").await.token;
        let answer = app.put_picture(&token, "image/png", png(8, 8)).await;
        answer.assert_field("(body)", "invalid_image");
        assert_eq!(app.get("/api/v1/auth/me", Some(&token)).await.status, 200, "the gateway lives");
        assert_eq!(files(app.folder.path()), 0);
    }
}

#[tokio::test]
async fn without_a_decoder_or_its_locks_no_picture_is_read() {
    let app = TestApp::spawn_decoding_by("/nowhere/at/all", &[]).await;
    let token = app.member("ada@example.com").await.token;
    app.put_picture(&token, "image/png", png(8, 8)).await.assert_problem(503, "unavailable");
    let app = TestApp::spawn_decoding_by("/bin/sh", &["-c", "cat >/dev/null; echo canary >&2; exit 3"]).await;
    let token = app.member("ada@example.com").await.token;
    let answer = app.put_picture(&token, "image/png", png(8, 8)).await;
    assert!(answer.status >= 500 && !answer.text.contains("canary"), "{}", answer.text);
}

#[tokio::test]
async fn a_decoder_that_hangs_is_killed_and_its_file_refused() {
    let app = TestApp::spawn_decoding_by("/bin/sleep", &["1000"]).await;
    let token = app.member("ada@example.com").await.token;
    let (hangs, me) =
        tokio::join!(app.put_picture(&token, "image/png", png(8, 8)), app.get("/api/v1/auth/me", Some(&token)));
    hangs.assert_field("(body)", "invalid_image");
    assert_eq!(me.status, 200);
}

#[tokio::test]
async fn the_decoder_sees_neither_environment_nor_files() {
    let told =
        "cat >/dev/null; test \"$(ls -A | wc -l)$(tr '\\0' ' ' </proc/$$/environ)\" = 0 && echo too-large >&2; exit 1";
    let app = TestApp::spawn_decoding_by("/bin/sh", &["-c", told]).await;
    let token = app.member("ada@example.com").await.token;
    app.put_picture(&token, "image/png", png(8, 8)).await.assert_field("(body)", "image_too_large");
}

#[tokio::test]
async fn the_largest_picture_fits_into_the_decoders_limits() {
    let app = TestApp::spawn().await;
    let token = app.member("ada@example.com").await.token;
    let largest = encoded(&DynamicImage::new_rgba16(4_096, 4_096), ImageFormat::Png);
    assert!(largest.len() < 2 * 1024 * 1024, "{} bytes", largest.len());
    let set = app.put_picture(&token, "image/png", largest).await;
    assert_eq!(set.status, 200, "{}", set.text);
}
