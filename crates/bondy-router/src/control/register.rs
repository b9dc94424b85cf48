//! REGISTER and UNREGISTER, under control.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::RegistrationId;
use bondy_wamp::message::{self, MessageType, Register, Unregister};
use bondy_wamp::uri;

use crate::realm::{Flow, Realm};
use crate::registration::{Callee, InvocationPolicy, Registration};
use crate::registry::Entry;
use crate::session::{Refusal, Session, SessionState};
use crate::slot::Slot;
use crate::sync::Arc;
use crate::turn::Turn;

use super::{Control, Held, check_prefix_lengths, deactivate, drop_member, revocation};

impl Realm {
    /// REGISTER: the route first, then slot and reply in one section.
    pub(crate) fn register(&self, session: &Arc<Session>, register: &Register<'_>, turn: &mut Turn) -> Flow {
        let check = || self.check_register(register);
        self.request(
            session,
            (MessageType::Register, register.request),
            turn,
            check,
            |control, invoke, turn| self.register_under_control(control, session, register, invoke, turn),
        )
    }

    fn check_register(&self, register: &Register<'_>) -> Result<InvocationPolicy, Refusal> {
        let policy = register.options.match_policy;
        let procedure = &*register.procedure;
        if !uri::is_valid_pattern(procedure, policy, self.config.uri_rule) {
            let procedure = uri::shown(procedure);
            let text = format!("{procedure:?} is not a valid procedure for match {policy}");
            return Err(Refusal::new(ErrorUri::InvalidUri, text));
        }
        if uri::is_reserved(procedure) {
            let procedure = uri::shown(procedure);
            let text = format!("{procedure:?} is in a namespace that is reserved for the router");
            return Err(Refusal::new(ErrorUri::InvalidUri, text));
        }
        match register.options.invoke.as_deref() {
            None => Ok(InvocationPolicy::Single),
            Some(name) => InvocationPolicy::parse(name).ok_or_else(|| {
                let known: Vec<_> = InvocationPolicy::ALL.iter().map(|policy| policy.as_str()).collect();
                let name = uri::shown(name);
                let text = format!("invoke is {name:?}, not one of {}", known.join(", "));
                Refusal::new(ErrorUri::InvalidArgument, text)
            }),
        }
    }

    fn register_under_control(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        register: &Register<'_>,
        invoke: InvocationPolicy,
        turn: &mut Turn,
    ) -> Result<bool, Refusal> {
        if !control.has_session(session.id()) {
            return Ok(true);
        }
        let policy = register.options.match_policy;
        let mut present = control.registrations.lookup(&register.procedure, policy).map(Arc::clone);
        if let Some(registration) = &present {
            if register.options.force_reregister {
                // Nobody loses a registration to a request that is refused.
                self.check_registrations_max(control, session, Some(registration.registration_id()))?;
                self.revoke_all(control, registration, turn);
                present = None;
            } else {
                check_shared(control, session, registration, invoke)?;
            }
        }
        let is_new = present.is_none();
        let registration = match present {
            Some(registration) => registration,
            None => self.new_registration(control, &register.procedure, policy, invoke, turn)?,
        };
        let slot = self.add_callee(control, session, &registration, register, is_new)?;
        let mut state = session.lock();
        if !state.outbox.has_room() {
            return Ok(false);
        }
        slot.set_active(true);
        let head = message::head(session.serializer(), 3, MessageType::Registered, register.request.0);
        state.append_small(session, &head, turn, |encoder| {
            encoder.unsigned(registration.registration_id().0);
            encoder.end_list();
        });
        drop(state);
        self.publish_registered(control, session, &registration, is_new, turn);
        Ok(true)
    }

    fn new_registration(
        &self,
        control: &mut Control,
        procedure: &str,
        policy: uri::MatchPolicy,
        invoke: InvocationPolicy,
        turn: &mut Turn,
    ) -> Result<Arc<Registration>, Refusal> {
        let lengths_max = self.config.limits.prefix_lengths_max;
        check_prefix_lengths(&control.registrations, procedure, policy, lengths_max)?;
        let id = control.registrations.next_id();
        Ok(Arc::new(Registration::new(id, procedure, policy, invoke, turn.now.unix_us)))
    }

    fn add_callee(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        registration: &Arc<Registration>,
        register: &Register<'_>,
        is_new: bool,
    ) -> Result<Arc<Slot>, Refusal> {
        self.check_registrations_max(control, session, None)?;
        let Some(holdings) = control.holdings(session.id()) else {
            return Err(Refusal::limit("sessions_max", 0));
        };
        let slot = Arc::new(Slot::default());
        let chunk = registration.add(Callee {
            session: Arc::clone(session),
            slot: Arc::clone(&slot),
            concurrency: register.options.concurrency,
            discloses_caller: register.options.disclose_caller,
            forwards_timeout: register.options.forward_timeout
                && session.features().has(Feature::CalleeTimeout),
        });
        let held = Held { slot: Arc::clone(&slot), chunk };
        holdings.registrations.insert(registration.registration_id(), held);
        if is_new {
            control.registrations.insert(Arc::clone(registration));
            self.procedures.add(registration);
        }
        Ok(slot)
    }

    /// UNREGISTER: slot and reply in one section, then the route. Running invocations go on.
    pub(crate) fn unregister(&self, session: &Arc<Session>, unregister: Unregister, turn: &mut Turn) -> Flow {
        let Unregister { request, registration } = unregister;
        self.request(
            session,
            (MessageType::Unregister, request),
            turn,
            || Ok(()),
            |control, (), turn| {
                let reply = |state: &mut SessionState, turn: &mut Turn| {
                    let head = message::head(session.serializer(), 2, MessageType::Unregistered, request.0);
                    state.append_small(session, &head, turn, |encoder| encoder.end_list());
                };
                if self.end_registration(control, session, registration, turn, reply) {
                    return Ok(true);
                }
                let text = format!("the session has no registration {registration}");
                Err(Refusal::new(ErrorUri::NoSuchRegistration, text))
            },
        )
    }

    /// Takes a session out of a registration; false if it is not in it.
    pub(crate) fn end_registration(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: RegistrationId,
        turn: &mut Turn,
        reply: impl FnOnce(&mut SessionState, &mut Turn),
    ) -> bool {
        let Some(held) =
            control.holdings(session.id()).and_then(|holdings| holdings.registrations.remove(&id))
        else {
            return false;
        };
        deactivate(session, &held.slot, turn, reply);
        let is_last = self.drop_callee(control, id, &held);
        self.publish_unregistered(control, session.id(), id, is_last, turn);
        true
    }

    /// Takes the route away; true if it was the registration's last.
    pub(super) fn drop_callee(&self, control: &mut Control, id: RegistrationId, held: &Held) -> bool {
        drop_member(&mut control.registrations, &self.procedures, id.0, |registration| {
            registration.remove(held.chunk, &held.slot)
        })
    }

    /// The router ends a registration by itself; false if the session is not in it.
    pub(crate) fn revoke_registration(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: RegistrationId,
        reason: &str,
        turn: &mut Turn,
    ) -> bool {
        let told = revocation(
            session,
            Feature::CalleeRevocation,
            MessageType::Unregistered,
            ("registration", id.0),
            reason,
        );
        self.end_registration(control, session, id, turn, told)
    }

    /// `force_reregister`: the present callees lose the registration.
    fn revoke_all(&self, control: &mut Control, registration: &Arc<Registration>, turn: &mut Turn) {
        for callee in registration.callees().iter() {
            let id = registration.registration_id();
            self.revoke_registration(control, &callee.session, id, "wamp.error.reregistered", turn);
        }
    }
}

/// May this session join this registration?
fn check_shared(
    control: &Control,
    session: &Session,
    registration: &Registration,
    invoke: InvocationPolicy,
) -> Result<(), Refusal> {
    let uri = registration.uri();
    let refused = |text| Err(Refusal::new(ErrorUri::ProcedureAlreadyExists, text));
    let id = registration.registration_id();
    if control.held(session.id()).is_some_and(|holdings| holdings.registrations.contains_key(&id)) {
        return refused(format!("{uri:?} is registered by this session already"));
    }
    if registration.invoke() == InvocationPolicy::Single && invoke == InvocationPolicy::Single {
        return refused(format!("{uri:?} is registered already"));
    }
    if registration.invoke() != invoke {
        let present = registration.invoke().as_str();
        return refused(format!("{uri:?} is registered with invoke {present:?}, not {:?}", invoke.as_str()));
    }
    Ok(())
}
