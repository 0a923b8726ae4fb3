//! `dynode chat`, as a script and as a person use it.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Child,
};

use crate::support::{Broker, Dynode, Launch, interrupt, run, within};

/// `dynode chat` with the keyboard in the hands of the test.
fn begin(dynode: &Dynode, arguments: &[&str]) -> Child {
    let mut command = dynode.command(&[&["chat"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

#[tokio::test]
async fn a_script_holds_a_conversation_a_line_a_turn() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let command =
        dynode.command(&["chat", "--model", "sim-fast", "--session", "talk", "--system", "Be kind."]);
    let said = run(command, "Hello\n\nAnd you?\n").await.succeeded();
    assert_eq!(said, "You said: Hello\nYou said: And you?\n");
    let (status, costs) = dynode.get("/v1/usage?by=session").await;
    assert_eq!((status, &costs["data"][0]["session"]), (200, &"talk".into()), "{costs:#}");
    assert_eq!(costs["data"][0]["requests"], 2, "{costs:#}");
}

#[tokio::test]
async fn ctrl_c_cancels_the_answer_and_then_leaves() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let mut chat = begin(&dynode, &["--model", "sim-chat"]);
    let mut keyboard = chat.stdin.take().unwrap();
    let mut out = BufReader::new(chat.stdout.take().unwrap());
    let mut notes = BufReader::new(chat.stderr.take().unwrap()).lines();
    let long = "words ".repeat(400);
    keyboard.write_all(format!("{long}\n").as_bytes()).await.unwrap();
    let mut piece = [0; 4];
    within("a piece of the answer", out.read_exact(&mut piece)).await.unwrap();
    interrupt(&chat);
    while within("the word of it", notes.next_line()).await.unwrap().unwrap() != "dynode: cancelled" {}
    // The conversation goes on.
    keyboard.write_all(b"Still there?\n").await.unwrap();
    let mut line = String::new();
    while !line.ends_with("You said: Still there?\n") {
        assert_ne!(within("the next answer", out.read_line(&mut line)).await.unwrap(), 0, "{line}");
    }
    interrupt(&chat);
    assert_eq!(within("its end", chat.wait()).await.unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_turn_outlives_the_death_of_its_server() {
    let mut dynode = Launch::on(&Broker::Managed).variable("DYNODE_ENGINE__LEASE_MS", "3000").start().await;
    let mut chat = begin(&dynode, &["--model", "sim-chat"]);
    let mut keyboard = chat.stdin.take().unwrap();
    let mut out = chat.stdout.take().unwrap();
    keyboard.write_all(b"Tell me of a crash that nobody noticed, at some length please\n").await.unwrap();
    drop(keyboard);
    let mut piece = [0; 4];
    within("a piece of the answer", out.read_exact(&mut piece)).await.unwrap();
    dynode.kill().await;
    dynode.restart().await;
    let mut rest = String::new();
    within("the rest of the answer", out.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(within("its end", chat.wait()).await.unwrap().code(), Some(0), "{rest}");
    let whole = "You said: Tell me of a crash that nobody noticed, at some length please\n";
    assert!(rest.ends_with(whole) || whole.ends_with(&rest), "{rest}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let command = dynode.command(&["chat", "--url", "http://127.0.0.1:9"]);
    let ended = run(command, "Hello\n").await;
    assert_eq!(ended.code, Some(69), "{}", ended.err);
    let command = dynode.command(&["chat", "--url", "https://127.0.0.1:9"]);
    assert_eq!(run(command, "Hello\n").await.code, Some(2));
}
