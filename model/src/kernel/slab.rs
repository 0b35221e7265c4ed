// SPDX-License-Identifier: GPL-2.0-only
//! The object caches (`kmem_cache`): fixed memory, named by index and generation.
//!
//! ```text
//!   Id { index, generation } ──▶ slot[index], if its generation is still the same
//!                                 odd: live          even: free
//! ```
//!
//! An index stands for a pointer: lists link by it, and nothing is checked on the way. An
//! [`Id`] is an index and the life it was made in; following one after that life is over is
//! a use after free, and says so.
//!
//! A cache has one of two disciplines, as in the kernel. *After a grace period*: whoever frees
//! has waited for the readers, any touch after the free is a bug. *Type-safe by RCU*
//! (`SLAB_TYPESAFE_BY_RCU`): memory may become another object of the same type while a reader
//! looks, so what readers may look at are [`Word`](super::Word)s, and they check who it is.
//!
//! The rule that matters: slot 0 does not exist. Index 0 is NULL.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomData;
use std::sync::OnceLock;

use super::platform::Platform;
use super::prefetch::prefetch;

/// NULL, as a link.
pub const NULL: u32 = 0;

/// What an unlinked node points at, so that following it shows (`LIST_POISON1`).
pub const POISON: u32 = u32::MAX;

/// An object of one cache in one of its lives.
pub struct Id<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The object at `index` in life `generation`.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation, of: PhantomData }
    }

    /// The slot, as lists link to it.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The life.
    #[inline]
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> core::hash::Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.index, self.generation).hash(state);
    }
}
impl<T> Default for Id<T> {
    fn default() -> Self {
        Self::new(NULL, 0)
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// An object where it lies: what a link leads to, looked up once and handed on.
#[derive(Debug)]
pub struct Object<'a, T> {
    /// Its slot.
    pub index: u32,
    record: &'a T,
}

impl<T> Clone for Object<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Object<'_, T> {}

impl<T> core::ops::Deref for Object<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        self.record
    }
}

impl<T: Record> Object<'_, T> {
    /// The id of what lives there now.
    #[inline]
    #[must_use]
    pub fn id(&self) -> Id<T::Tag> {
        Id::new(self.index, self.record.generation())
    }
}

/// What a cache can hold.
pub trait Record: Sized {
    /// What the object is called in a message.
    const NAME: &'static str;
    /// What its ids are tagged with: the kind of object, whatever the platform.
    type Tag;
    /// Memory as the cache hands it out the first time.
    fn blank() -> Self;
    /// The life this slot is in.
    fn generation(&self) -> u32;
    /// Begins the next life, or ends this one.
    fn set_generation(&self, generation: u32);
    /// Overwrites the object: exclusive access to every part of it.
    fn poison(&self);
    /// Fetches it, for whoever will write to it.
    #[inline(always)]
    fn prefetch(&self) {
        prefetch(self);
    }
}

/// Which free slot comes next. Not part of the model: no property may depend on it.
pub trait Pool {
    /// The slots 1 to `capacity`, all free.
    fn new(capacity: u32) -> Self;
    /// A free slot.
    fn take(&self) -> Option<u32>;
    /// Says which slots come to be taken next, as far as that is known.
    fn for_next(&self, _count: usize, _what: impl FnMut(u32)) {}
    /// Gives a slot back.
    fn give(&self, index: u32);
    /// Gives many back, in this order.
    fn give_all(&self, indices: impl Iterator<Item = u32>) {
        indices.for_each(|index| self.give(index));
    }
    /// How many slots are taken.
    fn live(&self) -> u32;
    /// Slots above this one were never taken.
    fn touched(&self) -> u32 {
        u32::MAX
    }
}

/// The pool of the one-CPU platform: last freed, first used, because that one is in the cache.
#[derive(Clone, Debug)]
pub struct LifoPool {
    freed: RefCell<Vec<u32>>,
    /// Slots from here on were never used: their memory need not be touched before they are.
    fresh: Cell<u32>,
    capacity: u32,
}

impl LifoPool {
    /// One that was never used. Room is made for its return, so that to free allocates nothing.
    #[inline(never)]
    fn take_fresh(&self) -> Option<u32> {
        let index = self.fresh.get();
        if index > self.capacity {
            return None;
        }
        let mut freed = self.freed.borrow_mut();
        if freed.capacity() < index as usize {
            freed.reserve(index as usize);
        }
        self.fresh.set(index + 1);
        Some(index)
    }
}

impl Pool for LifoPool {
    fn new(capacity: u32) -> Self {
        Self { freed: RefCell::new(Vec::new()), fresh: Cell::new(1), capacity }
    }

    #[inline]
    fn take(&self) -> Option<u32> {
        let freed = self.freed.borrow_mut().pop();
        freed.or_else(|| self.take_fresh())
    }

    /// Those that were given back; those that were never used come behind them.
    #[inline]
    fn for_next(&self, count: usize, what: impl FnMut(u32)) {
        self.freed.borrow().iter().rev().take(count).copied().for_each(what);
    }

    #[inline]
    fn give(&self, index: u32) {
        self.freed.borrow_mut().push(index);
    }

    #[inline]
    fn give_all(&self, indices: impl Iterator<Item = u32>) {
        self.freed.borrow_mut().extend(indices);
    }

    fn touched(&self) -> u32 {
        self.fresh.get() - 1
    }

    fn live(&self) -> u32 {
        let freed = u32::try_from(self.freed.borrow().len()).expect("no more than were taken");
        self.fresh.get() - 1 - freed
    }
}

/// One object cache.
pub struct Slab<P: Platform, T> {
    /// What is there from the start.
    slots: Box<[T]>,
    /// What is made ready when it is first used.
    later: Box<[OnceLock<Box<[T]>>]>,
    capacity: u32,
    pool: P::Pool,
}

/// Memory that is made ready in steps, once more, each slot by `copy`.
pub(crate) fn copied_steps<T>(
    steps: &[OnceLock<Box<[T]>>],
    copy: impl Fn(&T) -> T,
) -> Box<[OnceLock<Box<[T]>>]> {
    let step = |step: &OnceLock<Box<[T]>>| match step.get() {
        Some(slots) => OnceLock::from(slots.iter().map(&copy).collect::<Box<[T]>>()),
        None => OnceLock::new(),
    };
    steps.iter().map(step).collect()
}

/// By how many slots a cache grows.
const STEP: usize = 1 << 12;

impl<P: Platform, T: Record> Slab<P, T> {
    /// A cache of at most `capacity` objects.
    ///
    /// # Panics
    /// If the capacity exceeds 2³⁰ − 2: links need the upper two bits for list heads.
    #[must_use]
    pub fn with_capacity(capacity: u32) -> Self {
        Self::growing(capacity, capacity)
    }

    /// A cache of at most `capacity` objects, of which the first `ready` are there at once: the
    /// rest comes as it is used, which costs a step at each look.
    ///
    /// # Panics
    /// If the capacity exceeds 2³⁰ − 2.
    #[must_use]
    pub fn growing(ready: u32, capacity: u32) -> Self {
        assert!(capacity < (1 << 30) - 1, "a cache holds at most 2^30 - 2 objects: {capacity}");
        let ready = ready.min(capacity);
        let steps = ((capacity - ready) as usize).div_ceil(STEP);
        Self {
            slots: (0..=ready).map(|_| T::blank()).collect(),
            later: (0..steps).map(|_| OnceLock::new()).collect(),
            capacity,
            pool: P::Pool::new(capacity),
        }
    }

    /// The same memory once more, each slot by `copy`.
    pub(crate) fn copied(&self, copy: impl Fn(&T) -> T) -> Self
    where
        P::Pool: Clone,
    {
        Self {
            slots: self.slots.iter().map(&copy).collect(),
            later: copied_steps(&self.later, &copy),
            capacity: self.capacity,
            pool: self.pool.clone(),
        }
    }

    /// Which slot comes next.
    pub(crate) const fn pool(&self) -> &P::Pool {
        &self.pool
    }

    /// A slot beyond those that are there from the start.
    ///
    /// # Panics
    /// If there is no such slot.
    #[inline(never)]
    fn beyond(&self, index: u32) -> &T {
        let beyond = index as usize - self.slots.len();
        match self.later[beyond / STEP].get() {
            Some(slots) => &slots[beyond % STEP],
            None => &self.grown(beyond / STEP)[beyond % STEP],
        }
    }

    /// The slots of a step, made ready.
    #[cold]
    #[inline(never)]
    fn grown(&self, step: usize) -> &[T] {
        let left = self.capacity as usize + 1 - self.slots.len() - step * STEP;
        let make = || (0..left.min(STEP)).map(|_| T::blank()).collect();
        self.later[step].get_or_init(make)
    }

    /// A slot, if there is memory for it yet.
    fn peek(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.slots.get(index).or_else(|| {
            let beyond = index - self.slots.len();
            self.later.get(beyond / STEP)?.get()?.get(beyond % STEP)
        })
    }

    /// `kmem_cache_alloc(…, GFP_ATOMIC)`: `None` when memory has run out. The object keeps
    /// what its last tenant left in it.
    #[inline]
    pub fn alloc(&self) -> Option<Object<'_, T>> {
        let object = self.object(self.pool.take()?);
        object.set_generation(object.generation().wrapping_add(1));
        Some(object)
    }

    /// Fetches what the next allocations hand out. Last freed need not be last touched: timers
    /// that fire together are freed together.
    pub(crate) fn prefetch_free(&self, count: usize) {
        self.pool.for_next(count, |index| self.at(index).prefetch());
    }

    /// `kmem_cache_free()`.
    ///
    /// # Panics
    /// If the object is free already.
    #[inline]
    pub fn free(&self, index: u32) {
        self.end_life(index);
        self.pool.give(index);
    }

    /// The same for many, in this order.
    ///
    /// # Panics
    /// If one of the objects is free already.
    #[inline]
    pub fn free_all(&self, indices: impl Iterator<Item = u32> + Clone) {
        indices.clone().for_each(|index| self.end_life(index));
        self.pool.give_all(indices);
    }

    #[inline(always)]
    fn end_life(&self, index: u32) {
        let slot = self.at(index);
        let generation = slot.generation();
        if generation & 1 == 0 {
            double_free::<T>(index, generation);
        }
        if P::SLAB_POISON {
            slot.poison();
        }
        slot.set_generation(generation.wrapping_add(1));
    }

    /// Follows a link: whatever is in the slot.
    #[inline(always)]
    pub fn at(&self, index: u32) -> &T {
        match self.slots.get(index as usize) {
            Some(slot) => slot,
            None => {
                rare();
                self.beyond(index)
            }
        }
    }

    /// Follows a link, and keeps where it led.
    #[inline(always)]
    pub fn object(&self, index: u32) -> Object<'_, T> {
        Object { index, record: self.at(index) }
    }

    /// The same of a link that may be NULL.
    #[inline(always)]
    pub fn follow(&self, index: u32) -> Option<Object<'_, T>> {
        (index != NULL).then(|| self.object(index))
    }

    /// Follows an id, and keeps where it led.
    ///
    /// # Panics
    /// If that life is over.
    #[inline(always)]
    pub fn get_object(&self, id: Id<T::Tag>) -> Object<'_, T> {
        Object { index: id.index, record: self.get(id) }
    }

    /// Follows an id.
    ///
    /// # Panics
    /// If that life is over.
    #[inline(always)]
    pub fn get(&self, id: Id<T::Tag>) -> &T {
        let slot = self.at(id.index);
        let now = slot.generation();
        if now != id.generation {
            use_after_free::<T>(id, now);
        }
        slot
    }

    /// Whether that life still lasts.
    #[must_use]
    pub fn is_live(&self, id: Id<T::Tag>) -> bool {
        id.index != NULL
            && self.peek(id.index).is_some_and(|slot| slot.generation() == id.generation)
            && id.generation & 1 == 1
    }

    /// The id of what lives in the slot now.
    #[inline]
    pub fn id(&self, index: u32) -> Id<T::Tag> {
        Id::new(index, self.at(index).generation())
    }

    /// How many objects are allocated.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.pool.live()
    }

    /// Slots above this one were never used.
    #[must_use]
    pub fn touched(&self) -> u32 {
        self.pool.touched().min(self.capacity())
    }

    /// How many objects there may be at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The ids of all live objects, by index.
    pub fn iter_live(&self) -> impl Iterator<Item = Id<T::Tag>> + '_ {
        let there = (1..=self.touched()).filter_map(|index| Some((index, self.peek(index)?)));
        there
            .map(|(index, slot)| Id::new(index, slot.generation()))
            .filter(|id| id.generation & 1 == 1)
    }
}

/// Keeps the way to what is mostly not there out of the usual one.
#[cold]
#[inline]
fn rare() {}

#[cold]
#[inline(never)]
fn double_free<T: Record>(index: u32, generation: u32) -> ! {
    panic!("double free of {} {index} ({generation})", T::NAME)
}

#[cold]
#[inline(never)]
fn use_after_free<T: Record>(id: Id<T::Tag>, now: u32) -> ! {
    panic!("use after free of {} {} (generation {}, now {now})", T::NAME, id.index, id.generation)
}

impl<P: Platform, T> fmt::Debug for Slab<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("slots", &(self.capacity + 1)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Up;
    use super::*;

    struct Thing(Cell<u32>);
    impl Record for Thing {
        const NAME: &'static str = "thing";
        type Tag = ();
        fn blank() -> Self {
            Self(Cell::new(0))
        }
        fn generation(&self) -> u32 {
            self.0.get()
        }
        fn set_generation(&self, generation: u32) {
            self.0.set(generation);
        }
        fn poison(&self) {}
    }

    #[test]
    fn a_freed_slot_begins_a_new_life() {
        let slab = Slab::<Up, Thing>::with_capacity(1);
        let first = slab.alloc().expect("there is one").id();
        assert!(slab.alloc().is_none(), "memory has run out");
        slab.free(first.index());
        let second = slab.alloc().expect("it was given back").id();
        assert_eq!(first.index(), second.index());
        assert!(!slab.is_live(first) && slab.is_live(second));
        assert_eq!(slab.live(), 1);
    }

    #[test]
    fn a_cache_grows_to_its_capacity_and_no_further() {
        let slab = Slab::<Up, Thing>::growing(2, 5000);
        assert_eq!(slab.capacity(), 5000);
        assert!(!slab.is_live(Id::new(3, 1)) && slab.later[0].get().is_none());
        let ids: Vec<Id<()>> = std::iter::from_fn(|| slab.alloc().map(|it| it.id())).collect();
        assert_eq!(ids.len(), 5000);
        assert!(ids.iter().all(|&id| slab.is_live(id)) && slab.iter_live().eq(ids));
        assert!(!slab.is_live(Id::new(5001, 1)), "no such slot");
        slab.free(4999);
        assert_eq!(slab.iter_live().count(), 4999);
    }

    #[test]
    #[should_panic(expected = "use after free of thing 1 (generation 1, now 2)")]
    fn following_a_dead_id_is_a_use_after_free() {
        let slab = Slab::<Up, Thing>::with_capacity(1);
        let id = slab.alloc().expect("there is one").id();
        slab.free(id.index());
        slab.get(id);
    }

    #[test]
    #[should_panic(expected = "double free of thing 1")]
    fn freeing_twice_is_noticed() {
        let slab = Slab::<Up, Thing>::with_capacity(1);
        let id = slab.alloc().expect("there is one").id();
        slab.free(id.index());
        slab.free(id.index());
    }
}
