//! What a writer remembers from batch to batch: rows that others never delete.
//!
//! A transaction works on an overlay, which is kept only when it was committed. After an error all is forgotten: a
//! database that failed over may have lost rows that were committed once.
//!
//! Courses are changed by hand too, and an event tells against that only when the change is known. So they are read anew
//! once the audit log has a new entry: a change of a course and a batch of facts exclude each other, so a batch sees
//! either none of the change or all of it.

use std::collections::{BTreeSet, HashMap};

use crate::{
    domain::{
        CourseKey, EventBody,
        badge_class::{BadgeClassId, BadgeClassKey},
        event::{CourseDetails, Stamp},
    },
    ingest::Item,
    store::{
        StoreError, Tx, badge_classes,
        courses::{self, Course, CourseId},
    },
};

/// Known courses and badge classes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest entry of the audit log when the courses were read.
    by_hand: i64,
    course_ids: HashMap<CourseKey, CourseId>,
    courses: HashMap<CourseId, Course>,
    badge_classes: HashMap<BadgeClassKey, BadgeClassId>,
}

/// What one transaction adds to the memory.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    by_hand: i64,
    /// The courses that are new to the memory, and those of which something was told.
    courses: HashMap<CourseId, Course>,
    badge_classes: HashMap<BadgeClassKey, BadgeClassId>,
}

/// The memory with a transaction's additions.
pub(super) struct Overlay<'m> {
    memory: &'m Memory,
    learnt: Learnt,
    /// The course of each item, by the item's place.
    items: Vec<Option<CourseId>>,
    /// Items whose `course.updated` was news.
    pub(super) updated: BTreeSet<usize>,
}

/// What an item tells of a course.
struct Told<'i> {
    place: usize,
    details: &'i CourseDetails,
    is_update: bool,
    issue_badges: Option<bool>,
    stamp: &'i Stamp,
}

impl Memory {
    pub(super) fn keep(&mut self, learnt: Learnt) {
        if self.by_hand != learnt.by_hand {
            self.by_hand = learnt.by_hand;
            self.course_ids.clear();
            self.courses.clear();
        }
        for (id, course) in learnt.courses {
            self.course_ids.insert(course.key.clone(), id);
            self.courses.insert(id, course);
        }
        self.badge_classes.extend(learnt.badge_classes);
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl<'i> Told<'i> {
    fn by(place: usize, item: &'i Item) -> Option<Self> {
        let event = item.event()?;
        let update = match &event.body {
            EventBody::CourseUpdated { issue_badges, .. } => Some(*issue_badges),
            _ => None,
        };
        Some(Self {
            place,
            details: event.body.course()?,
            is_update: update.is_some(),
            issue_badges: update.flatten(),
            stamp: &event.stamp,
        })
    }

    fn is_silent(&self) -> bool {
        self.details.is_silent() && self.issue_badges.is_none()
    }

    /// Says whether there is anything to write.
    fn fold_into(&self, course: &mut Course) -> bool {
        course.learn(self.details, self.issue_badges, self.stamp)
    }
}

impl<'m> Overlay<'m> {
    pub(super) fn new(memory: &'m Memory) -> Self {
        Self {
            memory,
            learnt: Learnt::default(),
            items: Vec::new(),
            updated: BTreeSet::new(),
        }
    }

    pub(super) fn learnt(self) -> Learnt {
        self.learnt
    }

    /// Gives every course of the batch its row, and writes what is newly told of them.
    /// `by_hand` is the newest entry of the audit log.
    pub(super) fn courses(&mut self, tx: &mut Tx<'_>, items: &[&Item], by_hand: i64) -> Result<(), StoreError> {
        self.learnt.by_hand = by_hand;
        self.items = vec![None; items.len()];
        // Of most courses the id is known, and nothing else is told: these are done with one look-up an event.
        let is_current = self.memory.by_hand == by_hand;
        let mut unknown = Vec::new();
        let mut told = Vec::new();
        let all = items.iter().enumerate();
        for one in all.filter_map(|(place, item)| Told::by(place, item)) {
            let key = &one.details.key;
            let known = self.memory.course_ids.get(key).filter(|_| is_current);
            self.items[one.place] = known.copied();
            if known.is_none() {
                unknown.push(key);
            }
            if known.is_none() || !one.is_silent() {
                told.push(one);
            }
        }
        self.intern(tx, unknown, &told)?;
        let mut changed = BTreeSet::new();
        for told in &told {
            let Some(course) = self.items[told.place].and_then(|id| self.course_to_change(id)) else {
                continue;
            };
            if told.fold_into(course) {
                changed.insert(&told.details.key);
                if told.is_update {
                    self.updated.insert(told.place);
                }
            }
        }
        self.write(tx, &changed.into_iter().collect::<Vec<_>>(), &told)
    }

    /// Gives the courses of these keys their rows, in the order of the keys, and their ids to who told of them.
    fn intern(&mut self, tx: &mut Tx<'_>, mut keys: Vec<&CourseKey>, told: &[Told<'_>]) -> Result<(), StoreError> {
        keys.sort_unstable();
        keys.dedup();
        let courses = courses::intern(tx, &keys)?;
        let ids: HashMap<&CourseKey, CourseId> = courses.iter().map(|course| (&course.key, course.id)).collect();
        for told in told {
            let id = &mut self.items[told.place];
            *id = id.or_else(|| ids.get(&told.details.key).copied());
        }
        self.learnt.courses = courses.into_iter().map(|course| (course.id, course)).collect();
        Ok(())
    }

    /// Writes the courses of these keys. Another process may know more of them: all that was told is folded once more
    /// into the rows as they are, held in the order of their keys.
    fn write(&mut self, tx: &mut Tx<'_>, keys: &[&CourseKey], told: &[Told<'_>]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut held = courses::hold(tx, keys)?;
        let places: HashMap<CourseId, usize> = held.iter().enumerate().map(|(at, course)| (course.id, at)).collect();
        let mut changed = BTreeSet::new();
        for told in told {
            if let Some(at) = self.items[told.place].and_then(|id| places.get(&id))
                && told.fold_into(&mut held[*at])
            {
                changed.insert(*at);
            }
        }
        let rows: Vec<Course> = changed.iter().map(|at| held[*at].clone()).collect();
        courses::update(tx, &rows)?;
        self.learnt
            .courses
            .extend(held.into_iter().map(|course| (course.id, course)));
        Ok(())
    }

    fn course_to_change(&mut self, id: CourseId) -> Option<&mut Course> {
        if !self.learnt.courses.contains_key(&id) {
            self.learnt.courses.insert(id, self.memory.courses.get(&id)?.clone());
        }
        self.learnt.courses.get_mut(&id)
    }

    /// The course of the item at this place.
    pub(super) fn course_of(&self, place: usize) -> Option<CourseId> {
        self.items.get(place).copied().flatten()
    }

    /// The key of a course of this batch.
    pub(super) fn course_key(&self, id: CourseId) -> Option<&CourseKey> {
        let known = self.learnt.courses.get(&id);
        known.or_else(|| self.memory.courses.get(&id)).map(|course| &course.key)
    }

    /// Finds those of these badge classes that exist, for [`Self::badge_class`].
    pub(super) fn badge_classes<'k>(
        &mut self,
        tx: &mut Tx<'_>,
        keys: impl Iterator<Item = &'k BadgeClassKey>,
    ) -> Result<(), StoreError> {
        let unknown: Vec<&BadgeClassKey> = keys.filter(|key| self.badge_class(key).is_none()).collect();
        self.learnt.badge_classes.extend(badge_classes::find_all(tx, &unknown)?);
        Ok(())
    }

    /// The badge class of this identity, if it was found.
    pub(super) fn badge_class(&self, key: &BadgeClassKey) -> Option<BadgeClassId> {
        let known = self.learnt.badge_classes.get(key);
        known.or_else(|| self.memory.badge_classes.get(key)).copied()
    }

    /// Remembers a badge class.
    pub(super) fn learn_badge_class(&mut self, key: BadgeClassKey, id: BadgeClassId) -> BadgeClassId {
        self.learnt.badge_classes.insert(key, id);
        id
    }
}
