//! All routes, read from the OpenAPI document: so that a wrong method is 405 with `Allow` and not 404, metrics name the
//! route and not the path, and it is known before a handler runs whether a route is public. What is not in the document
//! does not exist.

use std::collections::BTreeMap;

use actix_web::http::Method;
use utoipa::openapi::{OpenApi, PathItem, path::Operation};

/// The tag of routes that no rate limit counts (`docs/contract.md` §8).
pub(crate) const UNCOUNTED: &str = "platform";
/// The tags of routes that take no idempotency key.
const UNKEYED: [&str; 2] = ["authentication", "account"];

/// All routes.
#[derive(Debug)]
pub(crate) struct RouteTable {
    /// By number of segments; within, those with more literal segments first.
    by_length: BTreeMap<usize, Vec<Resource>>,
}

/// One path with its methods.
#[derive(Debug)]
struct Resource {
    pattern: String,
    methods: Vec<(Method, Route)>,
}

/// What the front must know of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The path with names in braces.
    pub pattern: String,
    /// Whether it needs no credentials.
    pub is_public: bool,
    /// Whether a rate limit counts it.
    pub is_counted: bool,
    /// Whether a request may be repeated under an idempotency key.
    pub takes_key: bool,
}

/// What the table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A route.
    Route(&'a Route),
    /// The path has other methods.
    OtherMethods(String),
    /// No such path.
    Nothing,
}

impl RouteTable {
    /// The table of a document.
    pub(crate) fn new(document: &OpenApi) -> Self {
        let mut by_length: BTreeMap<usize, Vec<Resource>> = BTreeMap::new();
        for (pattern, item) in &document.paths.paths {
            let methods = methods(pattern, item);
            by_length
                .entry(segments(pattern).count())
                .or_default()
                .push(Resource { pattern: pattern.clone(), methods });
        }
        for resources in by_length.values_mut() {
            resources.sort_by_key(|resource| segments(&resource.pattern).filter(|part| is_parameter(part)).count());
        }
        Self { by_length }
    }

    /// The route of a canonical path; HEAD is GET without a body.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let mut allowed = Vec::new();
        for resource in self.matching(path) {
            if let Some((_, route)) = resource.methods.iter().find(|(known, _)| known == method) {
                return Found::Route(route);
            }
            allowed.extend(resource.methods.iter().map(|(known, _)| known.as_str()));
        }
        if allowed.is_empty() {
            return Found::Nothing;
        }
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        allowed.sort_unstable();
        Found::OtherMethods(allowed.join(", "))
    }

    /// Whether any method of the path exists.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.matching(path).next().is_some()
    }

    fn matching<'t, 'p>(&'t self, path: &'p str) -> impl Iterator<Item = &'t Resource> + use<'t, 'p> {
        let length = segments(path).count();
        self.by_length.get(&length).into_iter().flatten().filter(move |resource| {
            segments(&resource.pattern)
                .zip(segments(path))
                .all(|(wanted, found)| if is_parameter(wanted) { !found.is_empty() } else { wanted == found })
        })
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

fn methods(pattern: &str, item: &PathItem) -> Vec<(Method, Route)> {
    let known = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    let route = |method: &Method, operation: &Operation| Route {
        pattern: pattern.to_owned(),
        is_public: operation.security.is_some(),
        is_counted: !operation.tags.iter().flatten().any(|tag| tag == UNCOUNTED),
        takes_key: *method == Method::POST && takes_key(operation),
    };
    let found = known.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    found.map(|(method, operation)| (method.clone(), route(&method, operation))).collect()
}

/// Whether a POST takes an idempotency key (`docs/contract.md` §9): all that need credentials do, but for those about
/// credentials, whose bodies hold passwords that must leave no trace, not even a digest.
pub(crate) fn takes_key(operation: &Operation) -> bool {
    operation.security.is_none() && !operation.tags.iter().flatten().any(|tag| UNKEYED.contains(&tag.as_str()))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::{HttpMethod, Info, Paths};

    use super::*;

    fn table() -> RouteTable {
        let mut paths = Paths::new();
        paths.add_path_operation("/a/{id}", vec![HttpMethod::Get, HttpMethod::Delete], Operation::new());
        paths.add_path_operation("/a/create", vec![HttpMethod::Post], Operation::new());
        RouteTable::new(&OpenApi::new(Info::new("t", "1"), paths))
    }

    #[test]
    fn a_wrong_method_is_told_which_ones_exist() {
        let table = table();
        assert_eq!(table.find(&Method::PUT, "/a/1"), Found::OtherMethods("DELETE, GET, HEAD".to_owned()));
        assert_eq!(table.find(&Method::PUT, "/b"), Found::Nothing);
        assert_eq!(table.find(&Method::GET, "/a/"), Found::Nothing);
    }

    #[test]
    fn a_literal_path_is_found_before_one_with_a_parameter() {
        let table = table();
        let pattern = |method, path| {
            let Found::Route(route) = table.find(&method, path) else { panic!("no route for {path}") };
            route.pattern.clone()
        };
        assert_eq!(pattern(Method::POST, "/a/create"), "/a/create");
        assert_eq!(pattern(Method::HEAD, "/a/create"), "/a/{id}");
    }
}
