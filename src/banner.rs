//! Writes the start banner for people: a few plain lines of facts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the banner says.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The version of Dynode.
    pub(crate) version: &'static str,
    /// The broker, in a few words.
    pub(crate) broker: String,
    /// What the broker survives, in one plain sentence.
    pub(crate) survives: String,
    /// There are no keys, so everybody may come in.
    pub(crate) is_open: bool,
    /// The bound addresses.
    pub(crate) doors: Doors,
    /// Every provider and its models.
    pub(crate) providers: Vec<(String, Vec<String>)>,
    /// A chat model to try, if there is one.
    pub(crate) try_model: Option<String>,
}

/// The addresses as bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doors {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Where operators connect, if they have an address of their own.
    pub(crate) manage: Option<SocketAddr>,
    /// They speak TLS, but the operators' address not on loopback.
    pub(crate) is_tls: bool,
}

/// The banner, one line each.
pub(crate) fn lines(facts: &Facts) -> Vec<String> {
    let Doors { listen, manage, is_tls } = facts.doors;
    let address = reachable(listen);
    let (http, ws) = if is_tls { ("https", "wss") } else { ("http", "ws") };
    let mut lines = vec![
        format!("dynode {}", facts.version),
        format!("  broker     {}", facts.broker),
        format!("             {}", facts.survives),
        format!("  http       {http}://{address}    WebSocket {ws}://{address}/ws"),
    ];
    lines.push(format!("  keys       {}", keys(facts)));
    if let Some(manage) = manage {
        let http = if is_tls && !manage.ip().is_loopback() { "https" } else { "http" };
        lines.push(format!("  operators  {http}://{}", reachable(manage)));
    }
    for (index, (provider, models)) in facts.providers.iter().enumerate() {
        let label = if index == 0 { "providers" } else { "" };
        lines.push(format!("  {label:<10} {provider}: {}", models.join(", ")));
    }
    if facts.providers.is_empty() {
        lines.push("  providers  none: no request can be answered; see `dynode config`".to_owned());
    }
    if let Some(model) = &facts.try_model {
        let body = format!(
            r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}"#
        );
        let json = "-H 'content-type: application/json'";
        let key = if facts.is_open { "" } else { r#"-H "authorization: Bearer $DYNODE_API_KEY" "# };
        lines.push(format!(
            "  try        curl -N {http}://{address}/v1/chat/completions {key}{json} -d '{body}'"
        ));
    }
    lines
}

/// Who may come in.
fn keys(facts: &Facts) -> &'static str {
    match (facts.is_open, facts.doors.listen.ip().is_loopback()) {
        (true, true) => {
            "none: only this machine can connect, and may do everything; `dynode key create` makes the first"
        }
        (true, false) => "NONE: everybody who can connect may do everything (--without-keys)",
        (false, _) => "needed by everybody who connects; `dynode key list` shows them",
    }
}

/// An address to connect to: for a socket bound to every address, loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            version: "0.1.0",
            broker: "memory".into(),
            survives: "A restart forgets everything.".into(),
            is_open: false,
            doors: Doors { listen: "0.0.0.0:8321".parse().unwrap(), manage: None, is_tls: false },
            providers: vec![("sim".into(), vec!["sim-chat".into(), "sim-embed".into()])],
            try_model: Some("sim-chat".into()),
        }
    }

    #[test]
    fn every_fact_has_its_line() {
        let body = r#"{"model":"sim-chat","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
        let expected = r#"dynode 0.1.0
  broker     memory
             A restart forgets everything.
  http       http://127.0.0.1:8321    WebSocket ws://127.0.0.1:8321/ws
  keys       needed by everybody who connects; `dynode key list` shows them
  providers  sim: sim-chat, sim-embed
  try        curl -N http://127.0.0.1:8321/v1/chat/completions -H "authorization: Bearer $DYNODE_API_KEY" -H 'content-type: application/json' -d "#;
        assert_eq!(lines(&facts()).join("\n"), format!("{expected}'{body}'"));
    }

    #[test]
    fn tls_and_an_address_for_operators_are_told() {
        let manage = Some("127.0.0.1:8322".parse().unwrap());
        let doors = Doors { manage, is_tls: true, ..facts().doors };
        let lines = lines(&Facts { doors, ..facts() });
        assert_eq!(lines[3], "  http       https://127.0.0.1:8321    WebSocket wss://127.0.0.1:8321/ws");
        assert_eq!(lines[5], "  operators  http://127.0.0.1:8322");
        assert!(lines.last().unwrap().contains("curl -N https://127.0.0.1:8321/"), "{lines:?}");
    }

    #[test]
    fn without_providers_it_says_so_and_offers_nothing_to_try() {
        let lines = lines(&Facts { providers: Vec::new(), try_model: None, ..facts() });
        assert_eq!(
            lines.last().unwrap(),
            "  providers  none: no request can be answered; see `dynode config`"
        );
    }

    #[test]
    fn that_there_are_no_keys_is_told() {
        let open = Facts { is_open: true, ..facts() };
        assert!(lines(&open)[4].contains("NONE: everybody who can connect"));
        let here = Doors { listen: "127.0.0.1:8321".parse().unwrap(), ..open.doors };
        let local = Facts { doors: here, ..open };
        assert!(lines(&local)[4].contains("none: only this machine"));
    }

    #[test]
    fn a_second_provider_stands_under_the_first() {
        let mut facts = facts();
        facts.providers.push(("openai".into(), vec!["gpt".into()]));
        assert_eq!(lines(&facts)[6], "             openai: gpt");
    }
}
