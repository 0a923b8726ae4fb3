//! Decides who may use which route: the table of what each route needs, and where a request carries its key.
//!
//! A route that is not in the table needs a key; the caller's tenant and scopes decide the rest.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Uri, header},
};
use schemas::{Error, Role, Tenant};

use crate::{
    app::Shared,
    caller::{Caller, CallerRef},
    keys::unauthorized,
};

/// The header with which a superadmin acts for a tenant.
const X_TENANT: &str = "x-dynode-tenant";
/// The header in which Anthropic's SDKs send their key.
const X_API_KEY: &str = "x-api-key";
/// The prefix of a key among the subprotocols of a WebSocket: a page cannot set headers there, and a key in the URL
/// would be logged.
const KEY_PROTOCOL: &str = "dynode.key.";

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Nothing,
    /// A key whose owner has this role or a higher one.
    Role(Role),
}

const ADMIN: Need = Need::Role(Role::Admin);

/// Routes that need something other than a key of any role.
const TABLE: [(&str, Need); 16] = [
    ("/", Need::Nothing),
    ("/docs", Need::Nothing),
    ("/docs/", Need::Nothing),
    ("/chat", Need::Nothing),
    ("/openapi.json", Need::Nothing),
    ("/health/live", Need::Nothing),
    ("/health/ready", Need::Nothing),
    // The token is signed.
    ("/v1/webhooks/{token}", Need::Nothing),
    // Metrics cover all tenants.
    ("/metrics", Need::Role(Role::Superadmin)),
    ("/v1/usage", ADMIN),
    ("/v1/dead", ADMIN),
    ("/v1/dead/", ADMIN),
    ("/v1/callbacks", ADMIN),
    ("/v1/callbacks/", ADMIN),
    ("/v1/keys", ADMIN),
    ("/v1/keys/", ADMIN),
];

/// What `route` needs; a row that ends in `/` covers everything below it.
fn need(route: Option<&str>, uri: &Uri) -> Need {
    // A path without a route needs nothing.
    let Some(route) = route else { return Need::Nothing };
    let mut fields = uri.query().unwrap_or_default().split('&');
    let is_linked = fields.any(|field| field.starts_with("signature="));
    if route == "/v1/assets/{id}" && is_linked {
        return Need::Nothing;
    }
    let is_of = |row: &str| row == route || row.len() > 1 && row.ends_with('/') && route.starts_with(row);
    TABLE.iter().find(|(row, _)| is_of(row)).map_or(Need::Role(Role::User), |(_, need)| *need)
}

/// The caller that sends `request`, if it may use the route. Does no I/O.
pub(crate) fn admit(app: &Shared, request: &Request) -> Result<CallerRef, Error> {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let need = need(route, request.uri());
    let caller = match who(app, request.headers()) {
        Err(_) if need == Need::Nothing => app.nobody(),
        who => who?,
    };
    if let Need::Role(role) = need {
        caller.must_be(role)?;
    }
    Ok(caller)
}

fn who(app: &Shared, headers: &HeaderMap) -> Result<CallerRef, Error> {
    if app.keys.is_open() {
        return Ok(app.anyone());
    }
    let Some(key) = presented(headers) else {
        let why = "an API key is needed: send `Authorization: Bearer dyn_live_…`";
        return Err(unauthorized(why));
    };
    let pass = app.keys.check(key, app.broker().now())?;
    let on_behalf = headers.get(X_TENANT).map(|value| {
        Tenant::new(String::from_utf8_lossy(value.as_bytes()))
            .map_err(|error| Error::invalid("X-Dynode-Tenant", error))
    });
    Caller::with(pass, on_behalf.transpose()?)
}

/// The key in the headers of a request.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut protocols = protocols.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    bearer
        .or_else(|| text(X_API_KEY))
        .or_else(|| protocols.find_map(|protocol| protocol.trim().strip_prefix(KEY_PROTOCOL)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_needs_what_the_table_says_and_a_key_where_it_says_nothing() {
        let of = |route: &str, uri: &str| need(Some(route), &uri.parse().unwrap());
        assert_eq!(of("/health/live", "/health/live"), Need::Nothing);
        assert_eq!(of("/v1/dead/{sequence}/replay", "/v1/dead/7/replay"), ADMIN);
        assert_eq!(of("/v1/deadline", "/v1/deadline"), Need::Role(Role::User));
        assert_eq!(of("/ws", "/ws"), Need::Role(Role::User));
        assert_eq!(of("/v1/assets/{id}", "/v1/assets/a"), Need::Role(Role::User));
        assert_eq!(of("/v1/assets/{id}", "/v1/assets/a?expires=1&signature=x"), Need::Nothing);
        assert_eq!(of("/v1/assets/{id}", "/v1/assets/a?xsignature=x"), Need::Role(Role::User));
        assert_eq!(of("/v1/assets/{id}/link", "/v1/assets/a/link?signature=x"), Need::Role(Role::User));
        assert_eq!(need(None, &"/nowhere".parse().unwrap()), Need::Nothing);
    }

    #[test]
    fn a_key_stands_where_sdks_and_pages_can_put_it() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        for (pairs, expected) in [
            (&[("authorization", "Bearer a")][..], Some("a")),
            (&[("authorization", "bearer  a ")], Some("a")),
            (&[("authorization", "Basic a"), ("x-api-key", "b")], Some("b")),
            (&[("sec-websocket-protocol", "dynode, dynode.key.c")], Some("c")),
            (&[("authorization", "Bearer")], None),
            (&[], None),
        ] {
            assert_eq!(presented(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
