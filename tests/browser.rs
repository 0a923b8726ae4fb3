//! The page at `/chat` in a real browser.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    readme::{blocks, page},
    support::{Broker, Dynode, node},
};

/// Names the browser, where it is not one of those below.
const VARIABLE: &str = "DYNODE_CHROMIUM";
/// Where systems put it.
const PLACES: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> String {
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    let found = named.or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    let found = found.unwrap_or_else(|| {
        panic!("no Chromium: run `tests/run`, or `apt-get install chromium`, or name one by {VARIABLE}")
    });
    found.display().to_string()
}

#[tokio::test]
async fn a_person_chats_in_the_page() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // What the page on the API tells the makers of pages.
    let [example] = &blocks(&page("docs/api.md"), "js")[..] else { panic!("not one example") };
    let example = example.replace("127.0.0.1:8321", &dynode.address().to_string());
    node("page.mjs", &[&dynode.url(), &chromium(), pictures.to_str().unwrap(), &example]).await;
}
