//! Where the broker is. Takes the credentials out of the URL, so that no error, log or banner can show them.

use std::fmt;

use async_nats::{ConnectOptions, ServerAddr};

use crate::{Error, ErrorKind};

/// One or more servers of one cluster, and our credentials.
pub(super) struct Address {
    servers: Vec<ServerAddr>,
    user: Option<String>,
    password: Option<String>,
}

impl Address {
    /// Parses URLs joined by commas. The first credentials found are used for all.
    pub(super) fn parse(urls: &str) -> Result<Self, Error> {
        let mut address = Self { servers: Vec::new(), user: None, password: None };
        for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            address.add(url)?;
        }
        if address.servers.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no broker url: give one like nats://127.0.0.1:4222"));
        }
        Ok(address)
    }

    fn add(&mut self, text: &str) -> Result<(), Error> {
        // The parser's message may hold the text, so it is not kept.
        let invalid = || {
            Error::new(ErrorKind::Invalid, "the broker url is invalid: give one like nats://127.0.0.1:4222")
        };
        let mut url = text.parse::<ServerAddr>().map_err(|_| invalid())?.into_inner();
        if self.user.is_none() && !url.username().is_empty() {
            self.user = Some(url.username().to_owned());
            self.password = url.password().map(str::to_owned);
        }
        url.set_username("").map_err(|()| invalid())?;
        url.set_password(None).map_err(|()| invalid())?;
        self.servers.push(ServerAddr::from_url(url).map_err(|_| invalid())?);
        Ok(())
    }

    /// The servers, without credentials.
    pub(super) fn servers(&self) -> &[ServerAddr] {
        &self.servers
    }

    /// Adds the credentials to `options`: a user and a password, or a token if there is no password.
    pub(super) fn sign(&self, options: ConnectOptions) -> ConnectOptions {
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => options.user_and_password(user.clone(), password.clone()),
            (Some(token), None) => options.token(token.clone()),
            (None, _) => options,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let host = server.host();
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            write!(f, "{comma}{}://{host}:{}", server.scheme(), server.port())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let address = Address::parse("nats://ann:s3cret@one:4333, nats://two").unwrap();
        assert_eq!(address.to_string(), "nats://one:4333,nats://two:4222");
        assert_eq!(format!("{address:?}"), "Address(nats://one:4333,nats://two:4222)");
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("s3cret")));
        let error = Address::parse("nats://ann:s3cret@:::").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(Address::parse(" , ").unwrap_err().kind(), ErrorKind::Invalid);
    }
}
