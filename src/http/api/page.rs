//! Lists in pages, in the envelope of Open edX's API.

use axum::http::Uri;
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{OneOfBuilder, Type},
    },
};

use crate::{
    http::{State, problem::Problem},
    store::{StoreError, api_reads::Window},
    wire::schemas,
};

const DEFAULT_SIZE: i64 = 10;
const LARGEST_SIZE: i64 = 100;
const SIZE: &str = "expected a whole number of at least 1; more than 100 counts as 100.";
const NUMBER: &str = "expected a whole number of at least 1, or last.";

/// The query of a list. A parameter that comes twice counts as the last one says; an empty one counts as not given.
pub(super) struct Query {
    path: String,
    parameters: Vec<(String, String)>,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self {
            path: uri.path().to_owned(),
            parameters: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        }
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let values = self.parameters.iter().rev().filter(|(key, _)| key == name);
        values
            .map(|(_, value)| value.as_str())
            .next()
            .filter(|value| !value.is_empty())
    }

    /// The page that is asked for, without knowing yet how many there are.
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        let size = match self.get("page_size") {
            None => DEFAULT_SIZE,
            Some(text) => positive(text).ok_or_else(|| Problem::field("page_size", SIZE))?,
        };
        let number = match self.get("page") {
            None => Some(1),
            Some("last") => None,
            Some(text) => Some(positive(text).ok_or_else(|| Problem::field("page", NUMBER))?),
        };
        Ok(PageRequest {
            number,
            size: size.min(LARGEST_SIZE),
        })
    }

    /// This list's address below `PUBLIC_URL` with another page; the first page is the one without a number.
    fn url_of_page(&self, state: &State, number: i64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.parameters.iter().filter(|(key, _)| key != "page"));
        if number > 1 {
            query.append_pair("page", &number.to_string());
        }
        let query = query.finish();
        let separator = if query.is_empty() { "" } else { "?" };
        state.url(&format!("{}{separator}{query}", self.path))
    }
}

/// A digit string of any length is a number, if a large one.
fn positive(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(i64::MAX)).filter(|number| *number > 0)
}

/// Which page, and how long its pages are.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageRequest {
    /// `None`: the last one.
    number: Option<i64>,
    size: i64,
}

impl PageRequest {
    /// The place of this page in a list of `count` items: 404 beyond its end. An empty list has one empty page.
    pub(super) fn within(self, count: i64) -> Result<PagePlace, Problem> {
        let pages = (count.max(1) - 1) / self.size + 1;
        let number = self.number.unwrap_or(pages);
        if number > pages {
            return Err(Problem::not_found(format!(
                "page: there is no such page, the last one is {pages}."
            )));
        }
        Ok(PagePlace {
            count,
            pages,
            number,
            size: self.size,
        })
    }

    /// Where this page begins if the list is long enough; for the last one, whose place is not known yet, the first.
    fn expected(self) -> Window {
        Window {
            start: (self.number.unwrap_or(1) - 1).saturating_mul(self.size),
            length: self.size,
        }
    }

    /// Reads this page of a list that tells with any of its parts how long it is.
    pub(super) fn read<T>(
        self,
        mut list: impl FnMut(Window) -> Result<(i64, Vec<T>), StoreError>,
    ) -> Result<Result<(PagePlace, Vec<T>), Problem>, StoreError> {
        let (count, mut items) = list(self.expected())?;
        let place = match self.within(count) {
            Ok(place) => place,
            Err(beyond) => return Ok(Err(beyond)),
        };
        if place.window() != self.expected() {
            (_, items) = list(place.window())?;
        }
        Ok(Ok((place, items)))
    }
}

/// A page that exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct PagePlace {
    count: i64,
    pages: i64,
    number: i64,
    size: i64,
}

impl PagePlace {
    pub(super) fn window(self) -> Window {
        Window {
            start: (self.number - 1) * self.size,
            length: self.size,
        }
    }

    /// This page's part of a whole list.
    pub(super) fn part_of<T>(self, all: Vec<T>) -> impl Iterator<Item = T> {
        let Window { start, length } = self.window();
        let number = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        all.into_iter().skip(number(start)).take(number(length))
    }

    pub(super) fn page<T>(self, state: &State, query: &Query, results: Vec<T>) -> Page<T> {
        Page {
            count: self.count,
            num_pages: self.pages,
            current_page: self.number,
            start: self.window().start,
            next: (self.number < self.pages).then(|| query.url_of_page(state, self.number + 1)),
            previous: (self.number > 1).then(|| query.url_of_page(state, self.number - 1)),
            results,
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// How many items the list has.
    #[schema(minimum = 0, example = 1)]
    count: i64,
    /// How many pages the list has; an empty list has one.
    #[schema(minimum = 1, example = 1)]
    num_pages: i64,
    /// The number of this page, from 1.
    #[schema(minimum = 1, example = 1)]
    current_page: i64,
    /// How many items come before this page.
    #[schema(minimum = 0, example = 0)]
    start: i64,
    /// The URL of the next page.
    #[schema(required = true, format = "uri", example = json!(null))]
    next: Option<String>,
    /// The URL of the previous page.
    #[schema(required = true, format = "uri", example = json!(null))]
    previous: Option<String>,
    /// The items.
    #[schema(max_items = 100)]
    results: Vec<T>,
}

/// What [`Query::page`] reads.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is described only")]
pub(super) struct Paging {
    /// Which page, from 1; `last` is the last one. 404 beyond the end.
    #[param(schema_with = PageNumber::schema, required = false)]
    page: PageNumber,
    /// So many items a page, 10 by default; more than 100 counts as 100.
    #[param(schema_with = schemas::PageSize::schema, required = false)]
    page_size: schemas::PageSize,
}

struct PageNumber;

impl PartialSchema for PageNumber {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let last = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["last", ""]));
        Schema::OneOf(OneOfBuilder::new().item(number).item(last).examples([json!(1)]).build()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&text.parse().expect("a URI"))
    }

    #[test]
    fn pages_cover_the_list() {
        let starts = |uri: &str, count| {
            let page = query(uri).page().expect("a page");
            page.within(count)
                .map(|place| (place.window().start, place.window().length, place.pages))
                .ok()
        };
        assert_eq!(starts("/x", 0), Some((0, 10, 1)));
        assert_eq!(starts("/x?page=2&page_size=3", 4), Some((3, 3, 2)));
        assert_eq!(starts("/x?page=2&page_size=3", 3), None);
        assert_eq!(starts("/x?page=last&page_size=1000", 201), Some((200, 100, 3)));
        assert_eq!(starts("/x?page=99999999999999999999", 5), None);
    }

    #[test]
    fn what_is_no_page_is_refused_by_name() {
        for (uri, field) in [
            ("/x?page=0", "page:"),
            ("/x?page=-1", "page:"),
            ("/x?page_size=ten", "page_size:"),
        ] {
            let problem = query(uri).page().expect_err("refused");
            assert!(problem.detail().starts_with(field), "{uri}: {}", problem.detail());
        }
    }

    #[test]
    fn the_last_of_equal_parameters_counts() {
        assert_eq!(query("/x?slug=a&slug=b").get("slug"), Some("b"));
        assert_eq!(query("/x?slug=").get("slug"), None);
    }
}
