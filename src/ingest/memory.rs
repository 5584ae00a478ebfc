//! What a writer remembers from batch to batch: rows that others never delete.
//!
//! A transaction works on an overlay, which is kept only when it was committed. After an error all is forgotten: a
//! database that failed over may have lost rows that were committed once.
//!
//! Courses are changed by hand too, and an event tells against that only when the change is known. So they are read anew
//! once the audit log has a new entry: a change of a course and a batch of facts exclude each other, so a batch sees
//! either none of the change or all of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    domain::{
        CourseKey, EventBody,
        badge_class::{BadgeClassId, BadgeClassKey},
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
    courses: HashMap<CourseKey, Course>,
    badge_classes: HashMap<BadgeClassKey, BadgeClassId>,
}

/// What one transaction adds to the memory.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    by_hand: i64,
    courses: BTreeMap<CourseKey, Course>,
    badge_classes: HashMap<BadgeClassKey, BadgeClassId>,
}

/// The memory with a transaction's additions.
pub(super) struct Overlay<'m> {
    memory: &'m Memory,
    learnt: Learnt,
    keys: HashMap<CourseId, CourseKey>,
    /// Items whose `course.updated` was news.
    pub(super) updated: BTreeSet<usize>,
}

impl Memory {
    pub(super) fn keep(&mut self, learnt: Learnt) {
        if self.by_hand != learnt.by_hand {
            self.by_hand = learnt.by_hand;
            self.courses.clear();
        }
        self.courses.extend(learnt.courses);
        self.badge_classes.extend(learnt.badge_classes);
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl<'m> Overlay<'m> {
    pub(super) fn new(memory: &'m Memory) -> Self {
        Self {
            memory,
            learnt: Learnt::default(),
            keys: HashMap::new(),
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
        let told: Vec<_> = items
            .iter()
            .enumerate()
            .filter_map(|(n, item)| {
                let event = item.event()?;
                Some((n, event, event.body.course()?))
            })
            .collect();
        let keys: BTreeSet<&CourseKey> = told.iter().map(|(_, _, course)| &course.key).collect();
        let unknown: Vec<&CourseKey> = keys
            .iter()
            .copied()
            .filter(|key| self.remembered(key).is_none())
            .collect();
        for course in courses::intern(tx, &unknown)? {
            self.learnt.courses.insert(course.key.clone(), course);
        }
        for key in &keys {
            if let Some(known) = self.remembered(key).cloned() {
                self.learnt.courses.insert((*key).clone(), known);
            }
        }
        let mut changed = BTreeSet::new();
        for (n, event, details) in &told {
            let Some(course) = self.learnt.courses.get_mut(&details.key) else {
                continue;
            };
            let switch = match &event.body {
                EventBody::CourseUpdated { issue_badges, .. } => *issue_badges,
                _ => None,
            };
            if course.learn(details, switch, &event.stamp) {
                changed.insert(&details.key);
                if matches!(event.body, EventBody::CourseUpdated { .. }) {
                    self.updated.insert(*n);
                }
            }
        }
        // Another process may know more: fold once more into the rows as they are, held in the order of their keys.
        let mut held = courses::hold(tx, &changed.into_iter().collect::<Vec<_>>())?;
        let by_key: HashMap<CourseKey, usize> = held.iter().enumerate().map(|(at, c)| (c.key.clone(), at)).collect();
        let mut write = BTreeSet::new();
        for (_, event, details) in &told {
            let switch = match &event.body {
                EventBody::CourseUpdated { issue_badges, .. } => *issue_badges,
                _ => None,
            };
            if let Some(at) = by_key.get(&details.key)
                && held[*at].learn(details, switch, &event.stamp)
            {
                write.insert(*at);
            }
        }
        let rows: Vec<Course> = write.iter().map(|at| held[*at].clone()).collect();
        courses::update(tx, &rows)?;
        for course in held.drain(..) {
            self.learnt.courses.insert(course.key.clone(), course);
        }
        self.keys = self
            .learnt
            .courses
            .values()
            .map(|course| (course.id, course.key.clone()))
            .collect();
        Ok(())
    }

    fn remembered(&self, key: &CourseKey) -> Option<&Course> {
        let is_current = self.memory.by_hand == self.learnt.by_hand;
        self.memory.courses.get(key).filter(|_| is_current)
    }

    /// The row of a course of this batch.
    pub(super) fn course_id(&self, key: &CourseKey) -> Option<CourseId> {
        self.learnt.courses.get(key).map(|course| course.id)
    }

    /// The key of a course of this batch.
    pub(super) fn course_key(&self, id: CourseId) -> Option<&CourseKey> {
        self.keys.get(&id)
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
