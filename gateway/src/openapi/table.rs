//! The table of routes: handlers and their descriptions. The one place that adds a route to the gateway.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};

use super::Operation;
use crate::app::App;

/// Every route, as a router and as rows of the document.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) router: Router<App>,
    pub(crate) rows: Vec<Row>,
}

/// One operation: a method on a path, and its description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) described: fn() -> Operation,
}

impl Table {
    /// `door` answers GET, and HEAD without a body.
    pub(crate) fn get<H, T>(self, path: &'static str, door: H, described: fn() -> Operation) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add((MethodFilter::GET, "get"), path, door, described)
    }

    /// `door` answers POST.
    pub(crate) fn post<H, T>(self, path: &'static str, door: H, described: fn() -> Operation) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add((MethodFilter::POST, "post"), path, door, described)
    }

    /// `door` answers DELETE.
    pub(crate) fn delete<H, T>(self, path: &'static str, door: H, described: fn() -> Operation) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add((MethodFilter::DELETE, "delete"), path, door, described)
    }

    /// The routes of both.
    pub(crate) fn merge(self, other: Self) -> Self {
        let rows = [self.rows, other.rows].concat();
        Self { router: self.router.merge(other.router), rows }
    }

    fn add<H, T>(
        mut self,
        (filter, method): (MethodFilter, &'static str),
        path: &'static str,
        door: H,
        described: fn() -> Operation,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.router = self.router.route(path, on(filter, door));
        self.rows.push(Row { method, path, described });
        self
    }
}
