//! What happens beside the clients: kills, revocations, shutdown, peers that stop reading, panics.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bondy_router::sync::striking;
use bondy_router::turn::Turn;

use super::world::World;
use super::{Event, message};
use crate::crew::{chosen, dawdle};

/// A thread goes through so many sections at most in the handling of one message, or about so.
const SECTIONS_MAX: usize = 8;

/// The event with this index, at any moment.
pub(super) fn happen(world: &Arc<World>, index: usize) {
    dawdle();
    let mut turn = world.turn(1000 + index);
    match world.scenario.events[index] {
        Event::Kill(name) => {
            let id = world.seats[world.index(name)].session.id().0;
            surviving(world, |world| meta_call(world, index, "wamp.session.kill", &[id], &mut turn));
        }
        Event::Revoke(name) => {
            let id = world.seats[world.index(name)].session.id().0;
            // Everybody is in the first registration of the realm, as long as it is there.
            meta_call(world, index, "wamp.registration.remove_callee", &[1, id], &mut turn);
        }
        Event::ShutDown => shut_down(world),
        Event::Fill(name) => world.seats[world.index(name)].fill(&mut turn.pool),
        Event::Drain(name) => drain(world, world.index(name), &mut turn),
        Event::Panic => world.ledger().strikes = true,
    }
    world.settle(&mut turn);
}

fn meta_call(world: &Arc<World>, index: usize, procedure: &str, args: &[u64], turn: &mut Turn) {
    message::meta_call(&world.realm, &world.admins[index].session, procedure, args, turn);
}

fn shut_down(world: &World) {
    world.ledger().is_shut_down = true;
    world.close();
}

/// A peer reads again only after it has stopped; where it does not stop in this execution there is nothing to do.
fn drain(world: &World, index: usize, turn: &mut Turn) {
    let seat = &world.seats[index];
    while !seat.is_stalled() {
        shuttle::thread::yield_now();
    }
    seat.drain(&mut turn.pool);
}

/// Handles something, and dies in the middle of it if that is what happens in this execution. Whoever finds that a
/// handler has died shuts the realm down. Returns whether it has lived.
pub(super) fn surviving(world: &Arc<World>, handle: impl FnOnce(&Arc<World>)) -> bool {
    if !std::mem::take(&mut world.ledger().strikes) {
        handle(world);
        return true;
    }
    striking::strike_at(chosen(SECTIONS_MAX));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| handle(world)));
    striking::strike_no_more();
    match outcome {
        Ok(()) => true,
        Err(death) if death.is::<striking::Struck>() => {
            dawdle();
            shut_down(world);
            false
        }
        Err(failure) => panic::resume_unwind(failure),
    }
}
