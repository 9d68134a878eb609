//! Every route of the OpenAPI document, without rights: no credentials are 401, a key without the
//! scope is 403, another organization's ids are 404. The list of routes is the document's, so that a route without a row
//! fails, and a row without a route fails too.
//!
//! To add a route: its row in `rows.rs`; when its path has an id, a resource of that kind in `fixture.rs`.

mod fixture;
mod rows;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use picket_domain::Permission;
use serde_json::Value;

pub(crate) use self::fixture::Fixture;
use self::rows::{Class, ROWS, Row};
use crate::harness::{Answer, TestApp};

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let document = serde_json::to_value(picket_gateway::openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert((method.to_uppercase(), path.clone()));
        }
    }
    let rows: BTreeSet<_> = rows::all().map(|(row, path)| (row.method.to_owned(), path)).collect();
    assert_eq!(rows.len(), rows::all().count(), "a row is there twice");
    let missing: Vec<_> = routes.difference(&rows).collect();
    assert!(missing.is_empty(), "routes without a row: {missing:#?}");
    let stale: Vec<_> = rows.difference(&routes).collect();
    assert!(stale.is_empty(), "rows without a route: {stale:#?}");
}

#[test]
fn a_route_is_public_exactly_where_its_row_says_so() {
    let document = serde_json::to_value(picket_gateway::openapi()).unwrap();
    for (row, path) in rows::all() {
        let operation = &document["paths"][&path][row.method.to_lowercase()];
        let is_public = operation.get("security").is_some();
        assert_eq!(is_public, matches!(row.class, Class::Public), "{} {path}", row.method);
    }
}

#[tokio::test]
async fn without_credentials_every_other_route_is_401() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    for (row, path) in rows::all() {
        let answer = call(&app, &fixture, row, &path, None).await;
        match row.class {
            Class::Public => {
                assert!(![401, 403, 405, 500].contains(&answer.status), "{} {path}: {}", row.method, answer.text)
            }
            Class::Anybody | Class::Person | Class::Operator | Class::Needs(_) => {
                assert_eq!(answer.status, 401, "{} {path}: {}", row.method, answer.text);
                answer.assert_problem(401, "unauthenticated");
            }
        }
    }
}

#[tokio::test]
async fn a_key_without_the_scope_is_403_and_changes_nothing() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    for (row, path) in rows::all() {
        let Class::Needs(needed) = row.class else { continue };
        let others: Vec<&str> =
            Permission::ALL.iter().filter(|one| **one != needed).map(|permission| permission.name()).collect();
        let key = app.api_key(&fixture.owner.token, &others).await;
        let answer = call(&app, &fixture, row, &path, Some(&key)).await;
        assert_eq!(answer.status, 403, "{} {path}: {}", row.method, answer.text);
        answer.assert_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_key_is_403_where_a_person_is_needed() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    let all: Vec<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
    let key = app.api_key(&fixture.owner.token, &all).await;
    for (row, path) in rows::all().filter(|(row, _)| matches!(row.class, Class::Person | Class::Operator)) {
        let answer = call(&app, &fixture, row, &path, Some(&key)).await;
        assert_eq!(answer.status, 403, "{} {path}: {}", row.method, answer.text);
        answer.assert_problem(403, "person_required");
    }
}

#[tokio::test]
async fn an_owner_who_does_not_operate_the_platform_is_403() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    for (row, path) in rows::all().filter(|(row, _)| matches!(row.class, Class::Operator)) {
        let answer = call(&app, &fixture, row, &path, Some(&fixture.owner.token)).await;
        answer.assert_problem(403, "operator_required");
    }
}

#[tokio::test]
async fn tokens_that_are_expired_or_signed_by_another_are_401() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    let (payload, signature) = fixture.owner.token.rsplit_once('.').unwrap();
    let forged: String = signature.chars().rev().collect();
    let other = TestApp::spawn().await.member("owner@example.com").await.token;
    let tokens = [format!("{payload}.{forged}"), other, fixture.owner.token.clone()];
    for (place, token) in tokens.iter().enumerate() {
        if place == 2 {
            // Good until now.
            app.clock.advance(SignedDuration::from_mins(16));
        }
        for (row, path) in rows::all().filter(|(row, _)| !matches!(row.class, Class::Public)) {
            let answer = call(&app, &fixture, row, &path, Some(token)).await;
            assert_eq!(answer.status, 401, "{} {path}: {}", row.method, answer.text);
        }
    }
}

#[tokio::test]
async fn a_member_of_a_lesser_role_is_403() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    app.set_role(&fixture.owner, "viewer").await;
    let token = app.sign_in(fixture::OWNER).await;
    for (row, path) in rows::all() {
        let Class::Needs(needed) = row.class else { continue };
        if picket_domain::Role::Viewer.allows(needed) {
            continue;
        }
        // The owner was remembered for a moment.
        let answer = app.eventually(async || call(&app, &fixture, row, &path, Some(&token)).await, 403).await;
        assert_eq!(answer.status, 403, "{} {path}: {}", row.method, answer.text);
    }
}

#[tokio::test]
async fn another_organizations_ids_are_404() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    let stranger = app.member("stranger@example.com").await;
    // The catalogue is everybody's.
    let is_owned = |path: &str| path.contains('{') && !path.contains("{slug}");
    for (row, path) in
        rows::all().filter(|(row, path)| is_owned(path) && !matches!(row.class, Class::Public | Class::Operator))
    {
        let answer = call(&app, &fixture, row, &path, Some(&stranger.token)).await;
        assert_eq!(answer.status, 404, "{} {path}: {}", row.method, answer.text);
        let random = call_with(&app, row, &fixture.nobodys(&path), Some(&stranger.token)).await;
        let blind = |answer: &Answer| {
            let mut body: Value = answer.json();
            body["request_id"].take();
            body
        };
        assert_eq!(blind(&answer), blind(&random), "{} {path}", row.method);
    }
}

#[tokio::test]
async fn the_owner_reaches_every_route() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    for (row, path) in
        rows::all().filter(|(row, _)| row.method == "GET" && !matches!(row.class, Class::Public | Class::Operator))
    {
        let answer = call(&app, &fixture, row, &path, Some(&fixture.owner.token)).await;
        assert!(![400, 401, 403, 404, 405, 500].contains(&answer.status), "{} {path}: {}", row.method, answer.text);
    }
}

async fn call(app: &TestApp, fixture: &Fixture, row: &Row, path: &str, token: Option<&str>) -> Answer {
    call_with(app, row, &fixture.own(path), token).await
}

async fn call_with(app: &TestApp, row: &Row, path: &str, token: Option<&str>) -> Answer {
    match row.body {
        Some(body) => app.request(row.method, path, token, |request| request.json(&body())).await,
        None => app.send(row.method, path, token).await,
    }
}

/// The paths of all lists: a GET without an id that needs a permission.
pub(crate) fn lists() -> impl Iterator<Item = String> {
    let is_list =
        |row: &Row, path: &str| row.method == "GET" && !path.contains('{') && matches!(row.class, Class::Needs(_));
    rows::all().filter(move |(row, path)| is_list(row, path)).map(|(_, path)| path)
}

#[test]
fn the_table_is_not_empty() {
    assert!(ROWS.len() > 10);
}
