//! The open connections of one worker: what an operator sees of them and can order.
//!
//! Lives on the worker's own thread, without locks; other threads ask by message ([`crate::worker::Command`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::Direction;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use crate::admin::ConnectionInfo;
use crate::relay::Caller;
use crate::relay::credential::Renewed;

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close: an operator said so.
    Disconnect,
    /// Close: its caller is not welcome any more.
    Refuse(Reason),
    /// Close: the gateway stops.
    Drain {
        /// When the client had better come back.
        reconnect_after: Duration,
    },
}

/// One open connection, as others on its thread see it.
pub(crate) struct Handle {
    key: u64,
    id: Box<str>,
    client: std::net::IpAddr,
    principal: RefCell<Arc<Principal>>,
    route: Box<str>,
    opened: Now,
    /// Messages from the client.
    pub inbound: Cell<u64>,
    /// Messages to the client.
    pub outbound: Cell<u64>,
    order: Cell<Option<Order>>,
    renewed: Cell<Option<Box<Renewed>>>,
    waker: RefCell<Option<Waker>>,
}

impl Handle {
    /// Counts messages.
    pub(crate) fn count(&self, direction: Direction, messages: u64) {
        let counter = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        counter.set(counter.get() + messages);
    }

    /// The order given, once.
    pub(crate) fn take_order(&self) -> Option<Order> {
        self.order.take()
    }

    /// Tells the connection what came of its renewal.
    pub(crate) fn renewed(&self, outcome: Renewed) {
        self.renewed.set(Some(Box::new(outcome)));
        self.wake();
    }

    /// What came of a renewal, once.
    pub(crate) fn take_renewed(&self) -> Option<Renewed> {
        self.renewed.take().map(|outcome| *outcome)
    }

    /// Who it is from now on.
    pub(crate) fn set_principal(&self, principal: &Arc<Principal>) {
        *self.principal.borrow_mut() = Arc::clone(principal);
    }

    /// Remembers whom to wake; costs nothing when it is the same task.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Does something for the connection outside its task: what it then waits for wakes the task.
    pub(crate) fn in_its_name<T>(&self, what: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let waker = self.waker.borrow();
        what(&mut Context::from_waker(waker.as_ref().unwrap_or(Waker::noop())))
    }

    /// Has its task look at it.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Gives an order; the connection obeys at its next turn, which is at once.
    pub(crate) fn give(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id.to_string(),
            client: self.client,
            user: self.principal.borrow().subject.as_deref().map(str::to_owned),
            route: self.route.to_string(),
            opened_unix_ms: self.opened.unix_millis(),
            messages_in: self.inbound.get(),
            messages_out: self.outbound.get(),
        }
    }
}

/// All open connections of a worker.
#[derive(Default)]
pub(crate) struct Registry {
    open: RefCell<HashMap<u64, Rc<Handle>>>,
    next: Cell<u64>,
}

impl Registry {
    /// Adds a connection.
    pub(crate) fn add(&self, caller: &Caller, now: Now) -> Rc<Handle> {
        let key = self.next.get();
        self.next.set(key + 1);
        let handle = Rc::new(Handle {
            key,
            id: caller.connection_id.as_str().into(),
            client: caller.client,
            principal: RefCell::new(Arc::clone(&caller.principal)),
            route: caller.route.spec.name.as_str().into(),
            opened: now,
            inbound: Cell::new(0),
            outbound: Cell::new(0),
            order: Cell::new(None),
            renewed: Cell::new(None),
            waker: RefCell::new(None),
        });
        self.open.borrow_mut().insert(key, Rc::clone(&handle));
        handle
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, handle: &Handle) {
        let mut open = self.open.borrow_mut();
        open.remove(&handle.key);
        if open.capacity() > 1024 && open.len() < open.capacity() / 4 {
            open.shrink_to_fit();
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// At most `most` of them, described.
    pub(crate) fn list(&self, most: usize) -> Vec<ConnectionInfo> {
        self.open.borrow().values().take(most).map(|handle| handle.info()).collect()
    }

    /// All of them, by route.
    pub(crate) fn open(&self) -> crate::statistics::Open {
        let mut routes: crate::statistics::Open = Vec::new();
        for handle in self.open.borrow().values() {
            let principal = Arc::clone(&handle.principal.borrow());
            match routes.iter_mut().find(|(name, _)| *name == handle.route) {
                Some((_, principals)) => principals.push(principal),
                None => routes.push((handle.route.clone(), vec![principal])),
            }
        }
        routes
    }

    /// Tells one to close. False when it is not here.
    pub(crate) fn disconnect(&self, id: &str) -> bool {
        let open = self.open.borrow();
        let found = open.values().find(|handle| &*handle.id == id);
        if let Some(handle) = found {
            handle.give(Order::Disconnect);
        }
        found.is_some()
    }

    /// Tells all to close, each with its own time to come back.
    pub(crate) fn drain(&self, mut reconnect_after: impl FnMut() -> Duration) {
        for handle in self.open.borrow().values() {
            handle.give(Order::Drain { reconnect_after: reconnect_after() });
        }
    }

    /// Tells those to close for whom `judge` has a reason.
    pub(crate) fn enforce(&self, judge: impl Fn(std::net::IpAddr, &Principal) -> Option<Reason>) {
        for handle in self.open.borrow().values() {
            if let Some(reason) = judge(handle.client, &handle.principal.borrow()) {
                handle.give(Order::Refuse(reason));
            }
        }
    }

    /// Has all look at the policy anew.
    pub(crate) fn wake_all(&self) {
        for handle in self.open.borrow().values() {
            handle.wake();
        }
    }
}
