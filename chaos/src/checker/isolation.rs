//! I6: nobody sees bytes of another request. Every prompt carries its own marker, which the simulated providers repeat;
//! the check searches each text for markers of others.

use std::collections::BTreeMap;

use super::{
    Bounds, Inquiry,
    index::{Index, Request},
};
use crate::history;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        let own = format!("{}/{}", key.tenant, key.id);
        for (place, text, lines) in texts(request) {
            let mut marked = history::markers(&text).peekable();
            if marked.peek().is_some() {
                inquiry.checked();
            }
            if let Some(other) = marked.find(|marker| *marker != own) {
                let kind = match other.split_once('/') {
                    Some((tenant, _)) if tenant == key.tenant.as_str() => "other_request",
                    _ => "other_tenant",
                };
                let sentence = format!("{place} holds bytes of `{other}`");
                inquiry.broken(*key, kind, sentence, lines);
            }
        }
    }
}

/// Every text seen as the request's own. Frames may cut a marker in two, so the pieces of an attempt are joined.
fn texts(request: &Request<'_>) -> Vec<(String, String, Vec<usize>)> {
    let mut texts = Vec::new();
    let mut streams: BTreeMap<_, (String, Vec<usize>)> = BTreeMap::new();
    for (at, reader, frame) in request.frames() {
        let Some(text) = frame.text else { continue };
        if frame.event.ends_with("delta") {
            let (stream, lines) = streams.entry((reader, frame.attempt)).or_default();
            stream.push_str(text);
            lines.push(at.line);
        } else {
            texts.push((format!("`{}` of {reader}", frame.event), text.to_owned(), vec![at.line]));
        }
    }
    let streams = streams.into_iter();
    texts.extend(streams.map(|((reader, attempt), (text, lines))| {
        (format!("the stream of {reader}, attempt {attempt},"), text, lines)
    }));
    for record in &request.recorded {
        texts.extend(
            record.text.map(|text| ("the recorded outcome".into(), text.to_owned(), vec![record.at.line])),
        );
    }
    texts.extend(
        request
            .bodies
            .iter()
            .map(|(at, place, text)| ((*place).to_owned(), (*text).to_owned(), vec![at.line])),
    );
    texts
}
