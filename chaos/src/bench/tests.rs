use super::{
    scenario::{Kind, Work},
    *,
};

#[test]
fn a_load_that_is_asked_for_takes_the_place_of_all() {
    let options = Options {
        scenarios: Vec::new(),
        system: System::Own(Carrier::Memory),
        floor: false,
        rounds: 1,
        window: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        backlog: 1,
        soak: Duration::ZERO,
        load: Some(Load::Closed(7)),
        dynode: PathBuf::new(),
        dir: PathBuf::new(),
        command: String::new(),
        versions: Vec::new(),
    };
    let Some(Kind::Calls(cases)) = scenarios::find("chat").map(|chat| chat.kind) else { panic!("no cases") };
    assert_eq!(options.cases(cases).iter().map(ToString::to_string).collect::<Vec<_>>(), ["7 at once"]);
    let Some(Kind::Calls(cases)) = scenarios::find("growth-tenants").map(|growth| growth.kind) else {
        panic!("no cases")
    };
    let own = options.cases(cases);
    assert_eq!(own.len(), 5, "what differs in the work stays apart");
    assert!(own.iter().all(|case| matches!(case.work, Work::Publish { .. })));
}
