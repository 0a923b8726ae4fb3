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
    /// Where clients connect: the address as bound.
    pub(crate) listen: SocketAddr,
    /// Everybody may come in: there are no keys.
    pub(crate) is_open: bool,
    /// Every provider and its models.
    pub(crate) providers: Vec<(String, Vec<String>)>,
    /// A chat model to try, if there is one.
    pub(crate) try_model: Option<String>,
}

/// The banner, one line each.
pub(crate) fn lines(facts: &Facts) -> Vec<String> {
    let address = reachable(facts.listen);
    let mut lines = vec![
        format!("dynode {}", facts.version),
        format!("  broker     {}", facts.broker),
        format!("             {}", facts.survives),
        format!("  http       http://{address}    WebSocket ws://{address}/ws"),
    ];
    lines.push(format!("  keys       {}", keys(facts)));
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
            "  try        curl -N http://{address}/v1/chat/completions {key}{json} -d '{body}'"
        ));
    }
    lines
}

/// Who may come in.
fn keys(facts: &Facts) -> &'static str {
    match (facts.is_open, facts.listen.ip().is_loopback()) {
        (true, true) => {
            "none: only this machine can connect, and may do everything; `dynode key create` makes the first"
        }
        (true, false) => "NONE: everybody who can connect may do everything (--without-keys)",
        (false, _) => "needed by everybody who connects; `dynode key list` shows them",
    }
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
            listen: "0.0.0.0:8321".parse().unwrap(),
            is_open: false,
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
        let local = Facts { listen: "127.0.0.1:8321".parse().unwrap(), ..open };
        assert!(lines(&local)[4].contains("none: only this machine"));
    }

    #[test]
    fn a_second_provider_stands_under_the_first() {
        let mut facts = facts();
        facts.providers.push(("openai".into(), vec!["gpt".into()]));
        assert_eq!(lines(&facts)[6], "             openai: gpt");
    }
}
