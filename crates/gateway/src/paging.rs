//! Lists, in the shapes of both dialects. `page` counts from 1; a page past the end is empty, not an error.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use futures_util::future::{Ready, ready};
use picket_domain::Dialect;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{FieldError, Problem, Query, RequestContext};

/// Elements of a page when the client does not say.
const USUAL: u32 = 25;
/// The most elements of a page.
const MOST: u32 = 100;
/// Pages beyond are not counted out: an offset costs what it skips.
const LAST_PAGE: u32 = 10_000;

/// A checked page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// Checks what a client asked; `size_field` is the dialect's name for the page's size.
    ///
    /// # Errors
    /// Names each field that is out of range.
    pub fn new(number: Option<u32>, size: Option<u32>, size_field: &'static str) -> Result<Self, Problem> {
        let page = Self { number: number.unwrap_or(1), size: size.unwrap_or(USUAL) };
        let mut errors = Vec::new();
        if !(1..=LAST_PAGE).contains(&page.number) {
            errors.push(FieldError::new("page", "out_of_range", format!("expected 1 to {LAST_PAGE}")));
        }
        if !(1..=MOST).contains(&page.size) {
            errors.push(FieldError::new(size_field, "out_of_range", format!("expected 1 to {MOST}")));
        }
        if errors.is_empty() { Ok(page) } else { Err(Problem::Invalid(errors)) }
    }

    /// Rows to read.
    #[must_use]
    pub fn limit(self) -> i64 {
        i64::from(self.size)
    }

    /// Rows to skip.
    #[must_use]
    pub fn offset(self) -> i64 {
        i64::from(self.number.saturating_sub(1)).saturating_mul(i64::from(self.size))
    }

    fn pages(self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.size.max(1)))
    }

    /// The list in v1's shape.
    #[must_use]
    pub fn v1<T>(self, data: Vec<T>, total: u64) -> V1Page<T> {
        let pagination = Pagination { page: self.number, per_page: self.size, total, total_pages: self.pages(total) };
        V1Page { data, pagination }
    }

    /// The list in v2's shape.
    #[must_use]
    pub fn v2<T>(self, data: Vec<T>, total: u64) -> V2Page<T> {
        V2Page { data, meta: Meta { current_page: self.number, total_pages: self.pages(total), total_items: total } }
    }
}

/// The page of a shared resource, whose parameters and answer follow the version under which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    page: Page,
    dialect: Dialect,
}

impl PageQuery {
    /// The page.
    #[must_use]
    pub const fn page(self) -> Page {
        self.page
    }

    /// The list in the shape of its version.
    #[must_use]
    pub fn list<T>(self, data: Vec<T>, total: u64) -> Listed<T> {
        match self.dialect {
            Dialect::V1 => Listed::V1(self.page.v1(data, total)),
            Dialect::V2 => Listed::V2(self.page.v2(data, total)),
        }
    }
}

/// Parameters of a list of a shared resource.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The page, from 1.
    #[param(minimum = 1, maximum = 10000)]
    pub(crate) page: Option<u32>,
    /// Elements per page, under v1.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) per_page: Option<u32>,
    /// Elements per page, under v2.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

impl FromRequest for PageQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let Some(dialect) = request.extensions().get::<RequestContext>().map(|context| context.dialect) else {
            return ready(Err(Problem::internal("the front did not see this request")));
        };
        let params = Query::<PageParams>::from_request(request, payload).into_inner();
        ready(params.and_then(|Query(params)| params.check(dialect)))
    }
}

impl PageParams {
    pub(crate) fn check(&self, dialect: Dialect) -> Result<PageQuery, Problem> {
        let (size, size_field, other, other_field) = match dialect {
            Dialect::V1 => (self.per_page, "per_page", self.limit, "limit"),
            Dialect::V2 => (self.limit, "limit", self.per_page, "per_page"),
        };
        if other.is_some() {
            let message = format!("unknown field `{other_field}`, expected `page` or `{size_field}`");
            return Err(Problem::field(other_field, "unknown_field", message));
        }
        Ok(PageQuery { page: Page::new(self.page, size, size_field)?, dialect })
    }
}

/// A list of a shared resource: v1's shape under `/api/v1`, v2's under `/api/v2`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Listed<T> {
    /// Under `/api/v1`.
    V1(V1Page<T>),
    /// Under `/api/v2`.
    V2(V2Page<T>),
}

/// A list as v1 shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct V1Page<T> {
    /// The elements.
    pub data: Vec<T>,
    /// Where they are in the whole.
    pub pagination: Pagination,
}

/// Where a page is, in v1.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// The page, from 1.
    pub page: u32,
    /// Elements per page.
    pub per_page: u32,
    /// Elements of all pages.
    pub total: u64,
    /// Pages.
    pub total_pages: u64,
}

/// A list as v2 shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct V2Page<T> {
    /// The elements.
    pub data: Vec<T>,
    /// Where they are in the whole.
    pub meta: Meta,
}

/// Where a page is, in v2.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// The page, from 1.
    pub current_page: u32,
    /// Pages.
    pub total_pages: u64,
    /// Elements of all pages.
    pub total_items: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_out_of_range_names_each_field() {
        match Page::new(Some(0), Some(101), "per_page") {
            Err(Problem::Invalid(errors)) => {
                assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["page", "per_page"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_printed_list_has_six_pages() {
        let page = Page::new(Some(1), Some(25), "per_page").unwrap();
        assert_eq!(page.v1(vec![()], 142).pagination.total_pages, 6);
        assert_eq!(page.v2(Vec::<()>::new(), 0).meta.total_pages, 0);
        assert_eq!((Page { number: 3, size: 25 }.offset(), page.limit()), (50, 25));
    }
}
