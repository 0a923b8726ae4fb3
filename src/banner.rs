//! What the start tells a person: a few plain lines, made of facts alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the banner tells.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The version of Dynode.
    pub(crate) version: &'static str,
    /// What the broker is, in a few words.
    pub(crate) broker: String,
    /// What the broker survives, in one plain sentence.
    pub(crate) survives: String,
    /// Where it is reached.
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
    /// Where operators connect, where that is an address of their own.
    pub(crate) manage: Option<SocketAddr>,
    /// They speak TLS, but for operators on this machine.
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
        lines.push(format!("  try        curl -N {http}://{address}/v1/chat/completions {json} -d '{body}'"));
    }
    lines
}

/// An address that can be connected to: a socket bound to every address is reached by loopback.
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
            doors: Doors { listen: "0.0.0.0:8321".parse().unwrap(), manage: None, is_tls: false },
            providers: vec![("sim".into(), vec!["sim-chat".into(), "sim-embed".into()])],
            try_model: Some("sim-chat".into()),
        }
    }

    #[test]
    fn every_fact_has_its_line() {
        let body = r#"{"model":"sim-chat","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
        let expected = r"dynode 0.1.0
  broker     memory
             A restart forgets everything.
  http       http://127.0.0.1:8321    WebSocket ws://127.0.0.1:8321/ws
  providers  sim: sim-chat, sim-embed
  try        curl -N http://127.0.0.1:8321/v1/chat/completions -H 'content-type: application/json' -d ";
        assert_eq!(lines(&facts()).join("\n"), format!("{expected}'{body}'"));
    }

    #[test]
    fn tls_and_an_address_for_operators_are_told() {
        let manage = Some("127.0.0.1:8322".parse().unwrap());
        let doors = Doors { manage, is_tls: true, ..facts().doors };
        let lines = lines(&Facts { doors, ..facts() });
        assert_eq!(lines[3], "  http       https://127.0.0.1:8321    WebSocket wss://127.0.0.1:8321/ws");
        assert_eq!(lines[4], "  operators  http://127.0.0.1:8322");
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
    fn a_second_provider_stands_under_the_first() {
        let mut facts = facts();
        facts.providers.push(("openai".into(), vec!["gpt".into()]));
        assert_eq!(lines(&facts)[5], "             openai: gpt");
    }
}
