//! Answers a client's questions about the server, with the same functions as over HTTP.

use schemas::{
    Error, RequestId,
    socket::{AskedEstimate, Notice, OfRequest, Question, Standing},
};
use serde::Serialize;

use super::{client::Client, outgoing::Gone};
use crate::{
    estimate, health, openai,
    record::{self, Key, Record},
    status,
};

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Health(Question),
    Pools(Question),
    Models(Question),
    Estimate(AskedEstimate),
    Status(OfRequest),
}

/// Answers, or says why not.
pub(crate) async fn answer(client: Client, asked: Asked) -> Result<(), Gone> {
    let app = &client.app;
    match asked {
        Asked::Health(Question { id }) => reply(&client, id, Ok(health::report(app))).await,
        Asked::Pools(Question { id }) => reply(&client, id, Ok(status::of(app))).await,
        Asked::Models(Question { id }) => {
            reply(&client, id, Ok(openai::models::listing(app, &client.caller))).await
        }
        Asked::Estimate(AskedEstimate { id, request }) => {
            reply(&client, id, estimate::of(app, &client.caller, *request)).await
        }
        Asked::Status(OfRequest { id }) => match standing(&client, &id).await {
            Ok(notice) => client.say(&notice).await,
            Err(error) => client.refuse(Some(id.as_str()), &error).await,
        },
    }
}

async fn reply<T: Serialize>(
    client: &Client,
    id: Option<RequestId>,
    answer: Result<T, Error>,
) -> Result<(), Gone> {
    let id = id.unwrap_or_else(|| client.app.fresh_id());
    match answer {
        Ok(answer) => client.answer(id, &answer).await,
        Err(error) => client.refuse(Some(id.as_str()), &error).await,
    }
}

/// The state of a request. As over HTTP, a client that asks counts as having come back to it.
async fn standing(client: &Client, id: &RequestId) -> Result<Notice, Error> {
    let key = Key::new(&client.app, &client.caller, id.clone());
    let (status, outcome) = match record::find(&client.app, &key).await? {
        Record::Unknown => return Err(record::unknown(id)),
        Record::Ended(outcome) => (Standing::Ended, Some(outcome)),
        Record::Running => (Standing::Running, None),
        Record::Queued => (Standing::Queued, None),
    };
    if outcome.is_none() {
        client.app.lingers.look_in(&client.app, &key).await;
    }
    Ok(Notice::Status { id: id.clone(), status, outcome })
}
