//! Calls, registrations, and what stands in between.

use bondy_client::{Client, WampError};

use crate::node::{TestNode, WAYS, in_time, run};

async fn register_add(client: &Client) {
    client
        .register("com.example.add")
        .serve(|(a, b): (i64, i64), _| async move { Ok::<_, WampError>(a + b) })
        .await
        .unwrap()
        .detach();
}

#[test]
fn a_registered_function_is_called_over_every_transport_and_serializer() {
    let node = TestNode::start();
    run(async {
        for callee_way in WAYS {
            let callee = node.client(callee_way).await;
            register_add(&callee).await;
            for caller_way in WAYS {
                let caller = node.client(caller_way).await;
                let sum: i64 = in_time("a sum", caller.call("com.example.add").arg(2).arg(3)).await.unwrap();
                assert_eq!(sum, 5, "{callee_way:?} {caller_way:?}");
            }
            callee.close().await;
        }
    });
}
