// SPDX-License-Identifier: GPL-2.0-only
//! Connections by request, as far as expectations need masters: make, delete, change the
//! helper, list.
//!
//! The rule that matters: a connection made by request asks nobody whether it was announced.
//!
//! # Source
//! `ctnetlink_new_conntrack()`, `ctnetlink_del_conntrack()` and `ctnetlink_change_helper()`,
//! 6.18.

use crate::conn::{Attached, ConnId, ConnRef};
use crate::ctnetlink::{HELPER_NAME_LEN, TupleAttr};
use crate::engine::{At, Engine};
use crate::errno::Errno;
use crate::event::{Cause, Origin};
use crate::kernel::Ticks;
use crate::kernel::platform::Platform;
use crate::netns::{NetId, Zone};
use crate::revision::{FlushZone, HelperReset, SiblingHelper};
use crate::tuple::{L3, Proto, Tuple};

/// A request about a connection: its family and attributes (`CTA_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnRequest<'a> {
    /// `nfgen_family`; [`L3::Unspec`] for none.
    pub family: L3,
    /// `CTA_TUPLE_ORIG`.
    pub orig: Option<TupleAttr>,
    /// `CTA_TUPLE_REPLY` of a new connection; the inverse of `orig` if not given.
    pub reply: Option<TupleAttr>,
    /// `CTA_ZONE`.
    pub zone: Option<u16>,
    /// `CTA_HELP`: a name, the empty one takes the helper away.
    pub helper: Option<&'a str>,
    /// `CTA_MARK`.
    pub mark: Option<u32>,
    /// `CTA_TIMEOUT`.
    pub timeout_secs: Option<u32>,
}

impl<P: Platform> Engine<P> {
    /// Makes a connection (`NLM_F_CREATE|NLM_F_EXCL`).
    ///
    /// # Errors
    /// Those of [`TupleAttr::parse`]; [`Errno::Exists`] if the tuple is taken;
    /// [`Errno::Invalid`] without a tuple or a timeout, or with too long a helper's name;
    /// [`Errno::NotSupported`] for a helper that is not registered for such a connection;
    /// [`Errno::Exists`] if the answer's tuple is taken.
    #[doc(alias = "ctnetlink_new_conntrack")]
    pub fn new_conntrack(
        &self,
        at: At,
        net: NetId,
        request: &ConnRequest<'_>,
        origin: Origin,
    ) -> Result<(), Errno> {
        let original = request.orig.ok_or(Errno::Invalid)?;
        let original = original.parse(request.family, &self.config.revision)?;
        let reply = match request.reply {
            Some(reply) => reply.parse(request.family, &self.config.revision)?,
            None => original.inverse().ok_or(Errno::Invalid)?,
        };
        let zone = Zone(request.zone.unwrap_or(0));
        self.must_be_free(at, net, zone, &original)?;
        // KERNEL: ctnetlink_new_conntrack(), 6.18: both directions are of one protocol.
        if original.proto != reply.proto {
            return Err(Errno::Invalid);
        }
        let secs = request.timeout_secs.ok_or(Errno::Invalid)?;
        let helper = match request.helper {
            Some(name) if name.len() > HELPER_NAME_LEN => return Err(Errno::Invalid),
            Some(name) => Some(self.helper_for(name, &original).ok_or(Errno::NotSupported)?),
            None => None,
        };
        // KERNEL: ctnetlink_create_conntrack(), all revisions: only its insertion looks whether
        // the answer's tuple is taken, as a translated connection's may be.
        self.must_be_free(at, net, zone, &reply)?;
        let ct = self.alloc_conn(net, zone, original, reply)?;
        let attached = match helper {
            Some(_) => self.attach(&ct, helper),
            None => Ok(()),
        };
        self.set_mark(&ct, request.mark.unwrap_or(0));
        let expires = at.now.after(Ticks(u64::from(secs) * u64::from(self.config.hz)));
        self.set_conn_expiry(at, &ct, expires);
        let confirmed = attached.is_ok() && self.confirm(at, &ct, origin);
        self.put_conn(at, ct);
        attached?;
        if confirmed { Ok(()) } else { Err(Errno::Exists) }
    }

    /// Whether no connection has this tuple in either direction.
    fn must_be_free(&self, at: At, net: NetId, zone: Zone, tuple: &Tuple) -> Result<(), Errno> {
        let Some((ct, _)) = self.find_conn(net, zone, tuple) else {
            return Ok(());
        };
        self.put_conn(at, ct);
        Err(Errno::Exists)
    }

    /// Deletes the connection either of whose directions this is; without a tuple all, whatever
    /// the family, or those of the zone that is named.
    ///
    /// # Errors
    /// With a tuple: those of [`TupleAttr::parse`]; [`Errno::NoEntry`] if there is none.
    #[doc(alias = "ctnetlink_del_conntrack")]
    pub fn del_conntrack(
        &self,
        at: At,
        net: NetId,
        request: &ConnRequest<'_>,
        origin: Origin,
    ) -> Result<(), Errno> {
        if request.orig.is_none() {
            let obeyed = self.config.revision.flush_zone == FlushZone::Obeyed;
            self.flush(at, net, request.zone.filter(|_| obeyed).map(Zone), origin);
            return Ok(());
        }
        let ct = self.requested(net, request)?;
        self.end_conn(at, &ct, origin);
        self.put_conn(at, ct);
        Ok(())
    }

    /// [`delete_conn`](Self::delete_conn) for a connection that no packet told its helper anything
    /// about: its helper does as it would then. False if it was out of the table already.
    #[doc(alias = "nf_ct_kill")]
    pub fn end_conn(&self, at: At, ct: &ConnRef, origin: Origin) -> bool {
        self.delete_after(at, ct.id(), origin, || {
            let helper = self.helper_of(ct).map(|helper| self.helper(helper).name);
            if helper == Some("pptp") {
                self.destroy_pptp_siblings(at, ct);
            }
        })
    }

    /// KERNEL: pptp_destroy_siblings(): ends the GRE streams of a call, or the announcements of
    /// them. Whose helper never read a call looks for the call numbers 0.
    #[doc(alias = "pptp_destroy_siblings")]
    fn destroy_pptp_siblings(&self, at: At, ct: &ConnRef) {
        let about = self.conn(ct.id()).about();
        let (_, zone) = self.place_of(ct.id());
        for tuple in [about.original, about.reply] {
            let gre = Tuple { proto: Proto::GRE, sport: 0, dport: 0, ..tuple };
            if let Some((sibling, _)) = self.find_conn(about.net, zone, &gre) {
                self.delete_conn(at, &sibling, Origin::KERNEL);
                self.put_conn(at, sibling);
            } else if let Some(exp) = self.find_get(at, about.net, zone, &gre) {
                self.unexpect(at, &exp);
                self.put(exp);
            }
        }
    }

    /// Deletes all connections of a namespace.
    #[doc(alias = "ctnetlink_flush_conntrack")]
    pub fn flush_conntrack(&self, at: At, net: NetId, origin: Origin) {
        self.flush(at, net, None, origin);
    }

    /// Deletes those of a zone, or all.
    fn flush(&self, at: At, net: NetId, of: Option<Zone>, origin: Origin) {
        // One may take others along: where they stand is asked first.
        let places = self.conns_of(net).into_iter().map(|id| self.place_of(id));
        let places: Vec<(Tuple, Zone)> =
            places.filter(|(_, zone)| of.is_none_or(|of| *zone == of)).collect();
        for (tuple, zone) in places {
            if let Some((ct, _)) = self.find_conn(net, zone, &tuple) {
                self.end_conn(at, &ct, origin);
                self.put_conn(at, ct);
            }
        }
    }

    /// Changes the helper of a connection.
    ///
    /// # Errors
    /// Those of [`TupleAttr::parse`]; [`Errno::NoEntry`] without a tuple, or if there is no such
    /// connection. Then: [`Errno::Invalid`] for too long a name;
    /// [`Errno::Busy`] for an announced connection (of 3.9 before anything else, later if it has
    /// not this very helper), or if another helper is, or was, there; [`Errno::NotSupported`] for
    /// a helper that is not registered for such a connection, or for a connection made without one.
    #[doc(alias = "ctnetlink_change_helper")]
    pub fn change_helper(
        &self,
        at: At,
        net: NetId,
        request: &ConnRequest<'_>,
    ) -> Result<(), Errno> {
        let ct = self.requested(net, request)?;
        let changed = match request.helper {
            None => Ok(()),
            Some(name) => self.change_helper_of(at, &ct, name),
        };
        self.put_conn(at, ct);
        changed
    }

    fn change_helper_of(&self, at: At, ct: &ConnRef, name: &str) -> Result<(), Errno> {
        let announced = self.conn(ct.id()).about().master.is_some();
        if announced && self.config.revision.sibling_helper == SiblingHelper::Refused {
            return Err(Errno::Busy);
        }
        if name.len() > HELPER_NAME_LEN {
            return Err(Errno::Invalid);
        }
        let attached = self.attached_of(ct.id());
        if announced {
            let same = attached.helper().is_some_and(|helper| self.helper(helper).name == name);
            return if same { Ok(()) } else { Err(Errno::Busy) };
        }
        if name.is_empty() {
            return match (attached, self.config.revision.helper_reset) {
                (_, HelperReset::Refused) => Err(Errno::NotSupported),
                (Attached::Helper(_), HelperReset::Allowed) => {
                    self.lock().remove_expectations(at, ct.id(), Cause::MasterGone);
                    self.forget_helper(ct.id());
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        let (tuple, _) = self.place_of(ct.id());
        let helper = self.helper_for(name, &tuple).ok_or(Errno::NotSupported)?;
        match attached {
            Attached::Nothing => Err(Errno::NotSupported),
            Attached::Helper(known) if known == helper => Ok(()),
            // KERNEL: ctnetlink_change_helper(), 6.18: a helper that was taken away never
            // comes back.
            _ => Err(Errno::Busy),
        }
    }

    fn requested(&self, net: NetId, request: &ConnRequest<'_>) -> Result<ConnRef, Errno> {
        let tuple = request.orig.ok_or(Errno::NoEntry)?;
        let tuple = tuple.parse(request.family, &self.config.revision)?;
        let zone = Zone(request.zone.unwrap_or(0));
        self.find_conn(net, zone, &tuple).map(|(ct, _)| ct).ok_or(Errno::NoEntry)
    }

    /// How many connections of a namespace are in memory: one that was deleted counts as long
    /// as somebody refers to it (`net->ct.count`).
    #[must_use]
    pub fn conn_count(&self, net: NetId) -> u32 {
        let conns = self.memory.conns.iter_live();
        let here = conns.filter(|id: &ConnId| self.conn(*id).about().net == net);
        u32::try_from(here.count()).unwrap_or(u32::MAX)
    }
}
