//! Routes with their descriptions: a handler is routed by the path and the method of its `#[utoipa::path]`, so that no
//! route can be missing in the document, and none can be there that is not routed.

use std::convert::Infallible;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    routing::MethodRouter,
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::{Paths, RefOr, schema::Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use super::State;

/// Routes, and what the document says of them.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<State>,
    /// What the document says of the routes.
    pub(super) paths: Paths,
    /// The schemas that this refers to, by name.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Routes {
    /// Adds the handlers of `routes!`, which are all of one path. Where the path ends with a slash, the same without it
    /// is routed too: Open edX had the slash, people forget it.
    pub(super) fn add(self, handlers: UtoipaMethodRouter<State>) -> Self {
        self.routed(handlers, |methods| methods)
    }

    /// The same for what any site may show: with the headers and the preflight of CORS (Fetch standard).
    pub(super) fn add_open(self, handlers: UtoipaMethodRouter<State>) -> Self {
        let with = SetResponseHeaderLayer::overriding;
        let open = |methods: MethodRouter<State>| -> MethodRouter<State> {
            let anybody = with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            let exposed = with(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag"));
            methods
                .options(preflight)
                .layer::<_, Infallible>(anybody)
                .layer::<_, Infallible>(exposed)
        };
        self.routed(handlers, open)
    }

    /// All of these and all of those.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.paths.merge(other.paths);
        self.schemas.extend(other.schemas);
        self
    }

    /// The routes.
    pub(super) fn into_router(self) -> Router<State> {
        self.router
    }

    fn routed(
        mut self,
        (schemas, paths, methods): UtoipaMethodRouter<State>,
        finish: impl FnOnce(MethodRouter<State>) -> MethodRouter<State>,
    ) -> Self {
        let methods = finish(methods);
        for path in paths.paths.keys() {
            self.router = self.router.route(path, methods.clone());
            if let Some(short) = path.strip_suffix('/').filter(|short| !short.is_empty()) {
                self.router = self.router.route(short, methods.clone());
            }
        }
        self.paths.merge(paths);
        self.schemas.extend(schemas);
        self
    }
}

/// Answers browsers of other sites that ask first because of `If-None-Match`.
async fn preflight() -> (StatusCode, [(header::HeaderName, &'static str); 3]) {
    (
        StatusCode::NO_CONTENT,
        [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, If-None-Match"),
            (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        ],
    )
}
