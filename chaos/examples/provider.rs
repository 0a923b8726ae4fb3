//! Starts the simulated provider alone: `cargo run -p chaos --example provider -- 127.0.0.1:9100`.
//! With `SIM_API_KEY` set, calls must carry that key.

use std::io;

use chaos::provider::{Config, Provider};

#[tokio::main]
async fn main() -> io::Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9100".to_owned());
    let listen =
        listen.parse().map_err(|_| io::Error::other("the argument is no address: 127.0.0.1:9100"))?;
    let api_key = std::env::var("SIM_API_KEY").ok().map(Into::into);
    let provider = Provider::bind(Config { listen, api_key, ..Config::default() }).await?;
    println!("simulated provider at http://{}/v1", provider.local_addr());
    provider.serve(async { drop(tokio::signal::ctrl_c().await) }).await
}
