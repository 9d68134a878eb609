//! A browser as far as a code flow needs one: it keeps cookies by host and follows redirects when it is told to.

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Response, header::HeaderMap, redirect::Policy};
use url::Url;

use super::PUBLIC_URL;
use crate::harness::Answer;

/// Somebody's browser.
#[derive(Clone)]
pub(crate) struct Browser {
    client: reqwest::Client,
    /// Where the API really is.
    api: String,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub(crate) fn new(api: &str) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { client, api: api.to_owned(), cookies: BTreeMap::new() }
    }

    /// Begins a flow; returns where the provider's page is. `query` begins with `?` or is empty.
    pub(crate) async fn start(&mut self, provider: &str, query: &str) -> Url {
        let answer = self.get(&format!("{PUBLIC_URL}/api/v1/auth/{provider}{query}")).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        answer.header("location").unwrap().parse().unwrap()
    }

    /// Goes on until something other than a redirect to the provider or to the callback comes.
    pub(crate) async fn follow(&mut self, url: &Url) -> Answer {
        let callback = self.consent(url).await;
        self.get(callback.as_str()).await
    }

    /// The callback that the provider sends the browser to, before it is called.
    pub(crate) async fn consent(&mut self, url: &Url) -> Url {
        let answer = self.get(url.as_str()).await;
        assert_eq!(answer.status, 302, "{}", answer.text);
        answer.header("location").unwrap().parse().unwrap()
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.send(url, |client, url| client.get(url)).await
    }

    /// A form of a page.
    pub(crate) async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(url, |client, url| {
            client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
        })
        .await
    }

    /// One request, with the cookies of its host.
    pub(crate) async fn send(
        &mut self,
        url: &str,
        request: impl FnOnce(&reqwest::Client, String) -> RequestBuilder,
    ) -> Answer {
        let host = Url::parse(url).unwrap().authority().to_owned();
        let mine = self.cookies.range((host.clone(), String::new())..).take_while(|((of, _), _)| *of == host);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let real = url.strip_prefix(PUBLIC_URL).map_or_else(|| url.to_owned(), |path| format!("{}{path}", self.api));
        let mut request = request(&self.client, real);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let response: Response = request.send().await.unwrap();
        self.keep(&host, response.headers());
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    fn keep(&mut self, host: &str, headers: &HeaderMap) {
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.to_owned(), name.to_owned());
            if value.is_empty() || line.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
    }

    /// The value of a cookie of the API.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(&("picket.test".to_owned(), name.to_owned())).map(String::as_str)
    }
}
