//! What goes wrong on order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /o/token`, both grants.
    Token,
    /// `POST /v2/issuers/{slug}/badgeclasses`.
    MakeBadgeClass,
    /// `GET /v2/issuers/{slug}/badgeclasses`.
    ListBadgeClasses,
    /// `POST /v2/badgeclasses/{id}/assertions`.
    Award,
    /// `GET` of assertions: one, of a badge class, of the issuer.
    LookUp,
    /// `DELETE /v2/assertions/{id}`.
    Revoke,
    /// Everything else: the issuer, one badge class, public pages.
    Other,
}

/// One thing that goes wrong. "Before": it is not done. "After": it is done, only the answer fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Not done, and no answer, ever.
    HangBefore,
    /// Done, and no answer, ever.
    HangAfter,
    /// Not done; 500 with an HTML page.
    ErrorBefore,
    /// Done; 500 with an HTML page.
    ErrorAfter,
    /// Not done; the connection is reset without a byte of an answer.
    ResetBefore,
    /// Done; the connection is reset without a byte of an answer.
    ResetAfter,
    /// Not done; 401 as for an expired token.
    Unauthorized,
    /// Not done; 404 as for an unknown entity.
    NotFound,
    /// Not done; 429 with `Retry-After` in seconds.
    RetryAfter(u64),
    /// Not done; 429 with Badgr's JSON `expires` in seconds, as `text/html`.
    Throttled(u64),
    /// Done; the headers and half of the body come, then the connection ends.
    Truncated,
    /// Checked at once, done so much later, even when the client has gone meanwhile.
    Slow(Duration),
    /// Not done; 400 with this body.
    BadRequest(String),
    /// Not done; this status with this body as `text/html`.
    Status(u16, String),
    /// Not done; this status, and this URL as `Location`.
    Redirect(u16, String),
}

/// The orders.
#[derive(Default)]
pub struct Faults(Mutex<Orders>);

#[derive(Default)]
struct Orders {
    once: HashMap<Operation, VecDeque<Fault>>,
    always: HashMap<Operation, Fault>,
    delay: Duration,
}

impl Faults {
    pub fn order(&self, operation: Operation, fault: Fault) {
        self.orders().once.entry(operation).or_default().push_back(fault);
    }

    pub fn always(&self, operation: Operation, fault: Fault) {
        self.orders().always.insert(operation, fault);
    }

    pub fn clear(&self) {
        let mut orders = self.orders();
        orders.once.clear();
        orders.always.clear();
    }

    pub fn left(&self) -> usize {
        self.orders().once.values().map(VecDeque::len).sum()
    }

    pub fn delay(&self, delay: Duration) {
        self.orders().delay = delay;
    }

    /// The fault that this request meets, taken off the queue, and the delay of all requests.
    pub fn take(&self, operation: Operation) -> (Option<Fault>, Duration) {
        let mut orders = self.orders();
        let once = orders.once.get_mut(&operation).and_then(VecDeque::pop_front);
        let fault = once.or_else(|| orders.always.get(&operation).cloned());
        (fault, orders.delay)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().expect("no one panics with the orders in hand")
    }
}
