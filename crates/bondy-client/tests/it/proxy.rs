//! A TCP proxy between client and router that cuts or freezes a connection at a stated place of the protocol.
//!
//! Places are counted in rawsocket's units: the handshake of four octets is the first, every frame another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToRouter,
    ToClient,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both ends see it closed.
    Cut,
    /// Nothing passes any more, either way, and neither end sees anything.
    Freeze,
}

/// Where it happens: after so many whole units in this direction, or in the middle of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) direction: Direction,
    pub(crate) units: usize,
    pub(crate) in_the_middle: bool,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: Mutex<Option<String>>,
    plans: Mutex<VecDeque<Plan>>,
    /// Changes when all connections are to be cut.
    cuts: watch::Sender<usize>,
    faults: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    /// In front of the router at this address.
    pub(crate) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(Some(target.to_owned())),
            plans: Mutex::default(),
            cuts: watch::Sender::new(0),
            faults: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("rs://{}", self.address)
    }

    /// The router is elsewhere from now on, or nowhere. Open connections stay.
    pub(crate) fn aim(&self, target: Option<&str>) {
        *self.shared.target.lock().unwrap() = target.map(str::to_owned);
    }

    /// The next connection that has no plan gets this one; those after the last plan pass.
    pub(crate) fn plan(&self, plan: Plan) {
        self.shared.plans.lock().unwrap().push_back(plan);
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many plans have come true.
    pub(crate) fn faults(&self) -> usize {
        self.shared.faults.load(Ordering::SeqCst)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut_all();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let target = shared.target.lock().unwrap().clone();
        let Some(target) = target else { continue };
        let plan = shared.plans.lock().unwrap().pop_front();
        let mut cuts = shared.cuts.subscribe();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(router) = TcpStream::connect(target).await else { return };
            tokio::select! {
                () = serve(client, router, plan, &shared) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn serve(client: TcpStream, router: TcpStream, plan: Option<Plan>, shared: &Shared) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_router, mut to_router) = router.into_split();
    let (to, back) = (plan_of(plan, Direction::ToRouter), plan_of(plan, Direction::ToClient));
    let fault = tokio::select! {
        fault = pass(&mut from_client, &mut to_router, to) => fault,
        fault = pass(&mut from_router, &mut to_client, back) => fault,
    };
    if fault.is_some() {
        shared.faults.fetch_add(1, Ordering::SeqCst);
    }
    if fault == Some(Fault::Freeze) {
        // Until either end gives up.
        let (mut one, mut other) = ([0; 1024], [0; 1024]);
        tokio::select! {
            () = drain(&mut from_client, &mut one) => {}
            () = drain(&mut from_router, &mut other) => {}
        }
    }
}

fn plan_of(plan: Option<Plan>, direction: Direction) -> Option<Plan> {
    plan.filter(|plan| plan.direction == direction)
}

async fn drain(from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) {
    while matches!(from.read(buffer).await, Ok(1..)) {}
}

/// Passes unit after unit; the fault, if it was one that ended it.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    plan: Option<Plan>,
) -> Option<Fault> {
    let mut units = 0;
    loop {
        let due = plan.filter(|plan| plan.units == units);
        if let Some(plan) = due.filter(|plan| !plan.in_the_middle) {
            return Some(plan.fault);
        }
        let mut unit = vec![0; 4];
        from.read_exact(&mut unit).await.ok()?;
        if units > 0 {
            let length = u32::from_be_bytes([0, unit[1], unit[2], unit[3]]) as usize;
            unit.resize(4 + length, 0);
            from.read_exact(&mut unit[4..]).await.ok()?;
        }
        if let Some(plan) = due {
            to.write_all(&unit[..unit.len() / 2]).await.ok()?;
            return Some(plan.fault);
        }
        to.write_all(&unit).await.ok()?;
        units += 1;
    }
}
