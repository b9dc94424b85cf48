//! Calls, registrations, and what stands in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bondy_client::{
    Arguments, CallError, CancelMode, Client, ErrorUri, InvocationContext, MatchPolicy, Registration, Reply,
    SendError, Value, WampError, WhyEnded,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::node::{TestNode, WAYS, in_time, run, wait_for};

async fn register_add(client: &Client) -> Registration {
    client
        .register("com.example.add")
        .serve(|(a, b): (i64, i64), _| async move { Ok::<_, WampError>(a + b) })
        .await
        .unwrap()
}

#[track_caller]
fn uri<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> String {
    match outcome {
        Err(CallError::Wamp(error)) => error.uri().to_owned(),
        other => panic!("{other:?} where an ERROR was expected"),
    }
}

#[test]
fn a_registered_function_is_called_over_every_transport_and_serializer() {
    let node = TestNode::start();
    run(async {
        for callee_way in WAYS {
            let callee = node.client(callee_way).await;
            let _registration = register_add(&callee).await;
            for caller_way in WAYS {
                let caller = node.client(caller_way).await;
                let sum: i64 = in_time("a sum", caller.call("com.example.add").arg(2).arg(3)).await.unwrap();
                assert_eq!(sum, 5, "{callee_way:?} {caller_way:?}");
            }
            callee.close().await;
        }
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: u32,
    #[serde(default)]
    notes: Vec<String>,
}

#[test]
fn types_of_serde_go_in_and_come_out_in_every_serializer() {
    let node = TestNode::start();
    run(async {
        for way in WAYS {
            let client = node.client(way).await;
            let _registration = client
                .register("com.example.order")
                .serve(|order: Order, _| async move {
                    Ok::<_, WampError>(Order { amount: order.amount + 1, ..order })
                })
                .await
                .unwrap();
            let order = Order { item: "tea".to_owned(), amount: 2, notes: vec!["hot".to_owned()] };
            let result: Order = client.call("com.example.order").arg(&order).await.unwrap();
            assert_eq!(result, Order { amount: 3, ..order });
            // A struct is read from keyword arguments too.
            let result: Order =
                client.call("com.example.order").kwarg("item", "tea").kwarg("amount", 7).await.unwrap();
            assert_eq!((result.amount, result.notes.len()), (8, 0), "{way:?}");
        }
    });
}

#[test]
fn raw_payloads_pass_without_being_decoded() {
    let node = TestNode::start();
    run(async {
        let callee = node.client(WAYS[0]).await;
        let _registration = callee
            .register("com.example.echo")
            .serve(|arguments: Arguments, _| async move { Ok::<_, WampError>(arguments) })
            .await
            .unwrap();
        for way in WAYS {
            let caller = node.client(way).await;
            let reply: Reply =
                caller.call("com.example.echo").args((1, "b")).kwarg("k", [true]).await.unwrap();
            assert_eq!(reply.args::<(u8, String)>().unwrap(), (1, "b".to_owned()));
            assert_eq!(reply.kwargs::<BTreeMap<String, Vec<bool>>>().unwrap()["k"], [true]);
            let (args, _) = reply.to_value().unwrap();
            assert_eq!(args, Value::List(vec![Value::Integer(1), "b".into()]), "{way:?}");
            let again: Arguments =
                caller.call("com.example.echo").payload(reply.into_arguments()).await.unwrap();
            assert_eq!(again.args::<(u8, String)>().unwrap().0, 1);
        }
    });
}

#[test]
fn an_error_keeps_its_uri_and_arguments() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = client
            .register("com.example.fail")
            .serve(|(): (), _| async move {
                Err::<(), _>(WampError::new("com.example.error.sold_out").arg("tea").kwarg("left", 0))
            })
            .await
            .unwrap();
        let error = client.call::<()>("com.example.fail").await.unwrap_err();
        let error = error.wamp().expect("an ERROR");
        assert_eq!(error.uri(), "com.example.error.sold_out");
        assert_eq!(error.args::<(String,)>().unwrap().0, "tea");
        assert_eq!(error.kwargs::<BTreeMap<String, u8>>().unwrap()["left"], 0);
        assert_eq!(error.to_string(), "com.example.error.sold_out: tea");
    });
}

#[test]
fn arguments_of_another_type_are_an_error_that_says_so() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = register_add(&client).await;
        let error = client.call::<i64>("com.example.add").arg("two").arg(3).await.unwrap_err();
        assert!(error.is(ErrorUri::InvalidArgument), "{error}");
        assert!(error.to_string().contains("args[0]"), "{error}");
        assert!(matches!(
            client.call::<String>("com.example.add").arg(2).arg(3).await,
            Err(CallError::Decode(_))
        ));
    });
}

#[test]
fn a_handler_that_panics_answers_and_breaks_nothing_else() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = client
            .register("com.example.panic")
            .concurrency(1)
            .serve(|at_once: bool, _| {
                assert!(!at_once, "a test of panics");
                async move {
                    tokio::task::yield_now().await;
                    assert!(at_once, "a test of panics");
                    Ok::<(), WampError>(())
                }
            })
            .await
            .unwrap();
        for at_once in [true, false, true] {
            let outcome = in_time("an error", client.call::<()>("com.example.panic").arg(at_once)).await;
            assert_eq!(uri(outcome), "wamp.error.runtime_error");
        }
    });
}

#[test]
fn what_is_not_there_is_said_by_the_router() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        assert_eq!(uri(client.call::<()>("com.example.nothing").await), "wamp.error.no_such_procedure");
        assert_eq!(uri(client.call::<()>("not a uri").await), "wamp.error.invalid_uri");
        let first = register_add(&client).await;
        let second =
            client.register("com.example.add").serve(|(): (), _| async { Ok::<_, WampError>(()) }).await;
        assert!(second.unwrap_err().to_string().contains("procedure_already_exists"));
        first.unregister().await.unwrap();
        assert_eq!(uri(client.call::<i64>("com.example.add").await), "wamp.error.no_such_procedure");
    });
}

/// Serves a procedure that waits until it is told to go on, or to stop.
struct Waiter {
    _registration: Registration,
    began: mpsc::Receiver<InvocationContext>,
    go_on: Arc<Notify>,
    stopped: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct CountsDrops(Arc<AtomicUsize>);

impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Waiter {
    /// An `obedient` one ends when it is told to stop.
    async fn register(client: &Client, obedient: bool, grace: Duration) -> Self {
        let (sender, began) = mpsc::channel(100);
        let (go_on, stopped, dropped) = <(Arc<Notify>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (go, stops, drops) = (Arc::clone(&go_on), Arc::clone(&stopped), Arc::clone(&dropped));
        let registration = client
            .register("com.example.wait")
            .grace(grace)
            .serve(move |(): (), context: InvocationContext| {
                let (sender, go, stops) = (sender.clone(), Arc::clone(&go), Arc::clone(&stops));
                let alive = CountsDrops(Arc::clone(&drops));
                async move {
                    let _alive = alive;
                    sender.send(context.clone()).await.unwrap();
                    let gone_on = async {
                        go.notified().await;
                        Ok::<_, WampError>("went on")
                    };
                    if !obedient {
                        return gone_on.await;
                    }
                    tokio::select! {
                        result = gone_on => result,
                        () = context.canceled() => {
                            stops.fetch_add(1, Ordering::SeqCst);
                            Err(WampError::new("com.example.error.stopped"))
                        }
                    }
                }
            })
            .await
            .unwrap();
        Self { _registration: registration, began, go_on, stopped, dropped }
    }

    async fn begun(&mut self) -> InvocationContext {
        in_time("an invocation", self.began.recv()).await.unwrap()
    }
}

#[test]
fn a_call_that_is_dropped_is_canceled() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let mut waiter = Waiter::register(&callee, true, Duration::from_secs(10)).await;
        let call = tokio::spawn(caller.call::<String>("com.example.wait").into_future());
        let context = waiter.begun().await;
        assert!(!context.is_canceled());
        call.abort();
        in_time("the interruption", context.canceled()).await;
        wait_for("the handler's end", || waiter.stopped.load(Ordering::SeqCst) == 1).await;
        // The session goes on.
        let call = tokio::spawn(caller.call::<String>("com.example.wait").into_future());
        waiter.begun().await;
        waiter.go_on.notify_one();
        assert_eq!(call.await.unwrap().unwrap(), "went on");
    });
}

#[test]
fn a_handler_that_does_not_stop_is_dropped_after_its_grace() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let mut waiter = Waiter::register(&callee, false, Duration::from_millis(20)).await;
        let call = tokio::spawn(caller.call::<String>("com.example.wait").into_future());
        waiter.begun().await;
        call.abort();
        wait_for("the handler's end", || waiter.dropped.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn a_call_with_a_timeout_ends_in_time() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let mut waiter = Waiter::register(&callee, true, Duration::from_secs(10)).await;
        let call = caller.call::<String>("com.example.wait").timeout(Duration::from_millis(30));
        let error = in_time("the timeout", call).await.unwrap_err();
        assert!(error.is(ErrorUri::Timeout), "{error}");
        let context = waiter.begun().await;
        in_time("the interruption", context.canceled()).await;
    });
}

#[test]
fn a_callee_may_keep_timeouts_itself() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = client
            .register("com.example.slow")
            .forward_timeout()
            .grace(Duration::ZERO)
            .serve(|(): (), context: InvocationContext| async move {
                assert!(context.deadline().is_some());
                std::future::pending::<Result<(), WampError>>().await
            })
            .await
            .unwrap();
        let call = client.call::<()>("com.example.slow").timeout(Duration::from_millis(30));
        assert_eq!(uri(in_time("the timeout", call).await), "wamp.error.timeout");
    });
}

#[test]
fn a_killed_call_waits_for_what_the_callee_answers() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let mut waiter = Waiter::register(&callee, true, Duration::from_secs(10)).await;
        let call = caller.call::<String>("com.example.wait").cancel_mode(CancelMode::Kill);
        let call = tokio::spawn(call.into_future());
        let context = waiter.begun().await;
        call.abort();
        in_time("the interruption", context.canceled()).await;
        wait_for("the handler's end", || waiter.stopped.load(Ordering::SeqCst) == 1).await;
        assert!(caller.call::<u64>("wamp.session.count").await.unwrap() >= 2);
    });
}

#[test]
fn concurrency_is_kept_here_where_the_router_does_not_keep_it() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (runs, peak) = (Arc::clone(&running), Arc::clone(&most));
        let _registration = callee
            .register("com.example.few")
            .concurrency(2)
            .serve(move |(): (), _| {
                let (runs, peak) = (Arc::clone(&runs), Arc::clone(&peak));
                async move {
                    let now = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    runs.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, WampError>(())
                }
            })
            .await
            .unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            calls.spawn(caller.call::<()>("com.example.few").into_future());
        }
        let mut answered = 0;
        while let Some(outcome) = in_time("a call", calls.join_next()).await {
            match outcome.unwrap() {
                Ok(()) => answered += 1,
                Err(error) => assert!(error.is(ErrorUri::Unavailable), "{error}"),
            }
        }
        assert!(answered >= 2);
        assert!(most.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn an_invocation_knows_its_caller_and_procedure_and_what_was_passed_on() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        let _registration = callee
            .register("com.example.any.")
            .match_policy(MatchPolicy::Prefix)
            .disclose_caller()
            .serve(|(): (), context: InvocationContext| async move {
                let caller = context.caller().and_then(|caller| caller.session).map(|session| session.0);
                let mark: Option<String> = context.details().value("x_mark")?;
                assert!(!context.takes_progress());
                assert!(!context.progress(1).await.map_err(WampError::runtime)?, "nobody asked for it");
                Ok::<_, WampError>((context.procedure().to_owned(), caller, mark))
            })
            .await
            .unwrap();
        let call = caller.call("com.example.any.thing").disclose_me().option("x_mark", "yes");
        let (procedure, session, mark): (String, Option<u64>, Option<String>) = call.await.unwrap();
        assert_eq!(procedure, "com.example.any.thing");
        assert_eq!(session, Some(caller.session().id.0));
        assert_eq!(mark.as_deref(), Some("yes"));
    });
}

#[test]
fn shared_registrations_take_turns_and_a_key_always_finds_the_same_callee() {
    let node = TestNode::start();
    run(async {
        let caller = node.plain_client().await;
        let mut kept = Vec::new();
        for number in 0..3_u8 {
            let callee = node.plain_client().await;
            for (procedure, policy) in
                [("com.example.turn", "roundrobin"), ("com.example.key", "consistent_hash")]
            {
                let serving = callee
                    .register(procedure)
                    .invoke(policy)
                    .serve(move |(): (), _| async move { Ok::<_, WampError>(number) });
                kept.push(serving.await.unwrap());
            }
        }
        let mut turns = Vec::new();
        for _ in 0..3 {
            turns.push(caller.call::<u8>("com.example.turn").await.unwrap());
        }
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2]);
        let first: u8 = caller.call("com.example.key").rkey("k").await.unwrap();
        for _ in 0..5 {
            assert_eq!(caller.call::<u8>("com.example.key").rkey("k").await.unwrap(), first);
        }
    });
}

#[test]
fn dropping_a_registration_unregisters_and_detaching_does_not() {
    let node = TestNode::start();
    run(async {
        let (callee, caller) = (node.plain_client().await, node.plain_client().await);
        register_add(&callee).await.detach();
        assert_eq!(caller.call::<i64>("com.example.add").args((1, 2)).await.unwrap(), 3);
        let registration = callee
            .register("com.example.brief")
            .serve(|(): (), _| async { Ok::<_, WampError>(()) })
            .await
            .unwrap();
        drop(registration);
        let mut is_gone = false;
        while !is_gone {
            is_gone = match in_time("a call", caller.call::<()>("com.example.brief")).await {
                Ok(()) => false,
                Err(error) => error.is(ErrorUri::NoSuchProcedure),
            };
        }
        callee.close().await;
        assert_eq!(uri(caller.call::<i64>("com.example.add").await), "wamp.error.no_such_procedure");
    });
}

#[test]
fn a_revoked_registration_says_so() {
    let node = TestNode::start();
    run(async {
        let (callee, control) = (node.plain_client().await, node.plain_client().await);
        let registration = register_add(&callee).await;
        let id: u64 = control.call("wamp.registration.lookup").arg("com.example.add").await.unwrap();
        let session = callee.session().id.0;
        let remove = control.call::<()>("wamp.registration.remove_callee").args((id, session));
        remove.kwarg("reason", "com.example.revoked").await.unwrap();
        match in_time("the end", registration.closed()).await {
            WhyEnded::Lost(error) => assert_eq!(error.uri(), "com.example.revoked"),
            WhyEnded::Closed(reason) => panic!("{reason}"),
        }
        // It may be registered again.
        let _again = register_add(&callee).await;
        assert_eq!(control.call::<i64>("com.example.add").args((1, 2)).await.unwrap(), 3);
    });
}

#[test]
fn force_reregister_takes_a_procedure_over() {
    let node = TestNode::start();
    run(async {
        let (first, second) = (node.plain_client().await, node.plain_client().await);
        let taken = register_add(&first).await;
        let _new = second
            .register("com.example.add")
            .force_reregister()
            .serve(|(_, _): (i64, i64), _| async { Ok::<_, WampError>(-1) })
            .await
            .unwrap();
        assert!(matches!(in_time("the end", taken.closed()).await, WhyEnded::Lost(_)));
        assert_eq!(first.call::<i64>("com.example.add").args((1, 2)).await.unwrap(), -1);
    });
}

#[test]
fn a_message_that_the_router_does_not_take_is_not_sent() {
    let node = TestNode::start();
    run(async {
        // Rawsocket says how much the router takes.
        let client = node.plain_client().await;
        let _registration = register_add(&client).await;
        let large = "x".repeat(17 * 1024 * 1024);
        match in_time("a refusal", client.call::<()>("com.example.add").arg(&large)).await {
            Err(CallError::NotSent(SendError::TooLarge { bytes, max })) => assert!(bytes > max),
            other => panic!("{other:?}"),
        }
        assert_eq!(client.call::<i64>("com.example.add").args((1, 2)).await.unwrap(), 3);
    });
}

#[test]
fn a_result_that_the_router_does_not_take_is_an_error() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _registration = client
            .register("com.example.large")
            .serve(|bytes: usize, _| async move { Ok::<_, WampError>("x".repeat(bytes)) })
            .await
            .unwrap();
        let outcome =
            in_time("an error", client.call::<String>("com.example.large").arg(17 * 1024 * 1024)).await;
        assert_eq!(uri(outcome), "wamp.error.payload_size_exceeded");
    });
}

#[test]
fn what_cannot_be_encoded_is_not_sent() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let map = BTreeMap::from([(vec![1], 1)]);
        let outcome = client.call::<()>("com.example.add").arg(map).await;
        assert!(matches!(outcome, Err(CallError::NotSent(SendError::Encode(_)))), "{outcome:?}");
    });
}

#[test]
fn a_handler_may_call_others_through_its_own_client() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let _add = register_add(&client).await;
        let _outer = client
            .register("com.example.outer")
            .serve(|(): (), context: InvocationContext| async move {
                let client = context.client().expect("the test holds it");
                let sum: i64 = client.call("com.example.add").args((20, 22)).await?;
                Ok::<_, WampError>(sum)
            })
            .await
            .unwrap();
        assert_eq!(client.call::<i64>("com.example.outer").await.unwrap(), 42);
    });
}
