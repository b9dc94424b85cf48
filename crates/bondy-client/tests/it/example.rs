//! Every example does what it is there for, against a real node.

#![allow(dead_code, reason = "the examples have a `main` of their own")]

use std::time::Duration;

use crate::node::{TestNode, WAYS, in_time, run};
use crate::proxy::Proxy;

#[path = "../../examples/call.rs"]
mod call;
#[path = "../../examples/progressive.rs"]
mod progressive;
#[path = "../../examples/publish.rs"]
mod publish;
#[path = "../../examples/reconnect.rs"]
mod reconnect;
#[path = "../../examples/register.rs"]
mod register;
#[path = "../../examples/subscribe.rs"]
mod subscribe;

#[test]
fn every_example_runs_to_its_end() {
    let node = TestNode::start();
    run(async {
        let url = node.url(WAYS[1]);
        in_time("the example", call::run(&url)).await.unwrap();
        in_time("the example", register::run(&url)).await.unwrap();
        in_time("the example", publish::run(&url)).await.unwrap();
        in_time("the example", subscribe::run(&url)).await.unwrap();
        in_time("the example", progressive::run(&url)).await.unwrap();
        let proxy = Proxy::start(&node.address("raw")).await;
        let url = proxy.url();
        let example = reconnect::run(&url, Duration::from_millis(500));
        let cutting = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            proxy.cut_all();
        };
        let (outcome, ()) = tokio::join!(in_time("the example", example), cutting);
        outcome.unwrap();
        assert!(proxy.connections() >= 2, "it came back");
    });
}
