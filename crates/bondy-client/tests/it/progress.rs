//! Progressive results, and input in parts.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bondy_client::{
    CallError, Client, ErrorUri, InvocationContext, PARTS_MAX, Progress, Registration, WampError,
};
use futures_core::Stream;
use futures_sink::Sink;

use crate::node::{TestNode, WAYS, in_time, run};

async fn register_count(client: &Client) -> Registration {
    client
        .register("com.example.count")
        .serve(|to: u64, context: InvocationContext| async move {
            for number in 1..to {
                if !context.progress(number).await.map_err(WampError::runtime)? {
                    break;
                }
            }
            Ok::<_, WampError>(to)
        })
        .await
        .unwrap()
}

#[test]
fn progressive_results_come_in_order_before_the_final_one() {
    let node = TestNode::start();
    run(async {
        for way in WAYS {
            let callee = node.client(way).await;
            let registration = register_count(&callee).await;
            let caller = node.client(way).await;
            let mut results = caller.call::<u64>("com.example.count").arg(4).progressive();
            for number in 1..4 {
                let result = in_time("a result", results.next()).await.unwrap().unwrap();
                assert_eq!(result, Progress::Partial(number), "{way:?}");
            }
            assert_eq!(in_time("the result", results.next()).await.unwrap().unwrap(), Progress::Final(4));
            assert!(results.next().await.is_none());
            // Who did not ask gets the final one alone.
            assert_eq!(caller.call::<u64>("com.example.count").arg(4).await.unwrap(), 4);
            registration.unregister().await.unwrap();
        }
    });
}

#[test]
fn progressive_results_are_a_stream_that_ends_with_an_error() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let mut results = client.call::<u64>("com.example.nothing").progressive();
        let first = poll_fn(|context| Pin::new(&mut results).poll_next(context));
        match in_time("an error", first).await {
            Some(Err(error)) => assert!(error.is(ErrorUri::NoSuchProcedure), "{error}"),
            other => panic!("{other:?}"),
        }
        assert!(poll_fn(|context| Pin::new(&mut results).poll_next(context)).await.is_none());
    });
}

#[test]
fn dropping_the_results_cancels_the_call() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let (sender, mut ended) = tokio::sync::mpsc::channel(1);
        let _registration = callee
            .register("com.example.endless")
            .serve(move |(): (), context: InvocationContext| {
                let sender = sender.clone();
                async move {
                    let mut number = 0_u64;
                    while context.progress(number).await.map_err(WampError::runtime)? {
                        number += 1;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    sender.send(number).await.unwrap();
                    Ok::<_, WampError>(number)
                }
            })
            .await
            .unwrap();
        let mut results = caller.call::<u64>("com.example.endless").progressive();
        in_time("a result", results.next()).await.unwrap().unwrap();
        drop(results);
        assert!(in_time("the handler's end", ended.recv()).await.is_some());
    });
}

#[test]
fn results_that_nobody_reads_end_the_call_instead_of_being_lost() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = register_count(&client).await;
        let mut results = client.call::<u64>("com.example.count").arg(100_000).progressive();
        let mut read = 0;
        in_time("a result", results.next()).await.unwrap().unwrap();
        // Others get through meanwhile, until the callee has ended.
        loop {
            let stats: u64 = in_time("a call", client.call("com.example.count").arg(1)).await.unwrap();
            assert_eq!(stats, 1);
            let id: u64 = client.call("wamp.registration.lookup").arg("com.example.count").await.unwrap();
            let details: serde_json::Value = client.call("wamp.registration.get").arg(id).await.unwrap();
            if details["_stats"]["invocations_running"] == 0 {
                break;
            }
        }
        let error = loop {
            match in_time("a result", results.next()).await.unwrap() {
                Ok(_) => read += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CallError::TooSlow(PARTS_MAX)), "{error}");
        assert!((PARTS_MAX - 1..=PARTS_MAX + 1).contains(&read), "{read}");
    });
}

async fn register_sum(client: &Client) -> Registration {
    client
        .register("com.example.sum")
        .serve(|first: u64, context: InvocationContext| async move {
            let mut sum = first;
            let mut inputs = context.input::<Option<u64>>();
            while let Some(input) = inputs.next().await {
                sum += input?.unwrap_or(0);
                context.progress(sum).await.map_err(WampError::runtime)?;
            }
            Ok::<_, WampError>(sum)
        })
        .await
        .unwrap()
}

#[test]
fn input_may_come_in_parts() {
    let node = TestNode::start();
    run(async {
        for way in WAYS {
            let client = node.client(way).await;
            let registration = register_sum(&client).await;
            let mut open = client.call::<u64>("com.example.sum").arg(1).open().await.unwrap();
            open.send(2).await.unwrap();
            open.send(3).await.unwrap();
            assert_eq!(in_time("the sum", open.finish(4)).await.unwrap(), 10, "{way:?}");
            registration.unregister().await.unwrap();
        }
    });
}

#[test]
fn input_is_a_sink_while_results_are_a_stream() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = register_sum(&client).await;
        let call = client.call::<u64>("com.example.sum").arg(1).receive_progress();
        let mut open = call.open().await.unwrap();
        for input in [2_u64, 3] {
            let mut inputs = Pin::new(&mut open.inputs);
            poll_fn(|context| Sink::<u64>::poll_ready(inputs.as_mut(), context)).await.unwrap();
            inputs.start_send(input).unwrap();
            let result = in_time("a result", open.results.next()).await.unwrap().unwrap();
            assert_eq!(result, Progress::Partial(if input == 2 { 3 } else { 6 }));
        }
        let mut inputs = Pin::new(&mut open.inputs);
        poll_fn(|context| Sink::<u64>::poll_close(inputs.as_mut(), context)).await.unwrap();
        assert_eq!(in_time("the sum", open.results.last()).await.unwrap(), 6);
        assert!(matches!(open.inputs.send(7_u64).await, Err(CallError::Canceled)));
    });
}

#[test]
fn an_open_call_that_is_dropped_is_canceled() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let (sender, mut ended) = tokio::sync::mpsc::channel(1);
        let _registration = client
            .register("com.example.sink")
            .serve(move |(): (), context: InvocationContext| {
                let sender = sender.clone();
                async move {
                    let mut inputs = context.input::<u64>();
                    while inputs.next().await.is_some() {}
                    context.canceled().await;
                    sender.send(()).await.unwrap();
                    Ok::<_, WampError>(())
                }
            })
            .await
            .unwrap();
        let mut open = client.call::<()>("com.example.sink").open().await.unwrap();
        open.send(1).await.unwrap();
        drop(open);
        in_time("the handler's end", ended.recv()).await.unwrap();
    });
}
