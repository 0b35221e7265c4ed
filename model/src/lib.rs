// SPDX-License-Identifier: GPL-2.0-only
//! Linux's connection-tracking expectation engine, as a pure library.
//!
//! Six nouns are enough to begin with:
//!
//! * an *expectation* ([`Expectation`](expectation::Expectation)) stands for a connection that was
//!   announced and has not come yet: a tuple, and a mask that says which part of its source matters;
//! * its *master* ([`Conn`](conn::Conn)) is the connection in which it was announced;
//! * a *helper* ([`Helper`](helper::Helper)) reads announcements, and its *policy*
//!   ([`ExpectPolicy`](helper::ExpectPolicy)) says how many of a *class* a master may have, and for
//!   how long;
//! * an *event* ([`Event`](event::Event)) tells that one came or went, and here also why
//!   ([`Cause`](event::Cause)), which the kernel never says;
//! * a *revision* ([`Revision`](revision::Revision)) is a kernel as a value: one knob for each
//!   behaviour that changed since Linux 3.9.
//!
//! The life of an expectation, and the verbs that move it on:
//!
//! ```text
//!            alloc            related                        expire
//!   free ──────────▶ fresh ─────────────▶ linked, pending ────────────▶ linked, firing
//!                      │                        │ won: match, unexpect,         │
//!                      │ put                    │ eviction, refresh, master     │ timed_out
//!                      ▼                        ▼ gone, flush                   │
//!                   waiting  ◀─ last put ─  unlinked  ◀─────────────────────────┘
//!                      │ its readers are gone: run_rcu_callbacks
//!                      ▼
//!                    free
//! ```
//!
//! [`Engine`] does all of it and looks at no clock, file or generator: the time, the processor and
//! the hash seed are arguments, events are polled, and what a softirq would do is a method. What
//! needs `nf_conntrack_lock` is a method of [`Locked`]. Every item carries the name of its C
//! counterpart, so that searching this documentation for `nf_ct_find_expectation` finds it.
//!
//! ```
//! use nfexp_model::engine::MasterCheck;
//! use nfexp_model::event::Origin;
//! use nfexp_model::kernel::Jiffies;
//! use nfexp_model::netns::{NetId, Zone};
//! use nfexp_model::tuple::{Mask, Proto, Tuple};
//! use nfexp_model::{At, Config, Engine, helper::Class};
//!
//! let engine: Engine = Engine::new(Config::SMALL)?;
//! let at = At { now: Jiffies::initial(250), ..At::default() };
//! let (net, zone, ip) = (NetId::INIT, Zone(0), |last| [10, 0, 0, last].into());
//!
//! // An FTP control connection, confirmed, with its helper.
//! let control = Tuple::new(Proto::TCP, ip(2), 40000, ip(1), 21);
//! let master = engine.alloc_conn(net, zone, control, control.inverse().unwrap())?;
//! engine.attach(&master, engine.helper_named("ftp"))?;
//! assert!(engine.confirm(at, &master, Origin::KERNEL));
//!
//! // It announces a data connection from any port.
//! let exp = engine.alloc(at, &master)?;
//! let data = Tuple::new(Proto::TCP, ip(2), 0, ip(1), 50000);
//! engine.init_key(&exp, Class::DEFAULT, data, Mask::exact(data.l3, true, false));
//! engine.related(at, &exp, Origin::KERNEL, MasterCheck::Own)?;
//! engine.put(exp);
//!
//! // The connection comes, consumes the expectation, and is its master's child.
//! let came = Tuple { sport: 41000, ..data };
//! let child = engine.init_conntrack(at, net, zone, came, came.inverse().unwrap(), true)?.ct;
//! assert_eq!(engine.conn(child.id()).about().master, Some(master.id()));
//! assert_eq!(engine.expect_count(net), 0);
//! # engine.put_conn(at, child);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to read on: [`engine`] for the verbs, [`locked`] and `insertion` for what the lock covers,
//! [`kernel`] for what lies beneath, [`audit`] for what must always hold, and `docs/` for lifetimes,
//! locking, revisions, names, and what is left out.
//!
//! Where to add: a helper's policies are a row of [`helper::IN_TREE`]; a behaviour that a kernel
//! changed is a knob of [`revision`]; another choice of victims implements
//! [`Eviction`](eviction::Eviction); what must always hold is an invariant of [`audit`], and how a
//! kernel could slip, so that it does not, a row of [`slip`].
#![forbid(unsafe_code)]
#![warn(clippy::float_arithmetic)]

pub mod ahead;
pub mod audit;
pub mod conn;
mod conn_table;
pub mod conntrack;
pub mod ctnetlink;
pub mod engine;
pub mod errno;
pub mod error;
pub mod event;
pub mod eviction;
pub mod expectation;
pub mod fingerprint;
pub mod helper;
mod insertion;
pub mod kernel;
mod life;
pub mod locked;
mod look;
pub mod memory;
pub mod nat;
pub mod netns;
pub mod nft_ct;
mod pair;
pub mod proc;
mod registry;
pub mod retime;
pub mod revision;
pub mod sctp_track;
pub mod slip;
pub mod snapshot;
pub mod tcp_state;
pub mod tcp_track;
pub mod tcp_window;
mod tell;
mod terms;
pub mod tuple;
pub mod watch;

pub use engine::{At, Config, Engine};
pub use locked::Locked;
