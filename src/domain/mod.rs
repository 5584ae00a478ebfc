//! What a badge is and who earns it: pure, without I/O, clock or database.

pub mod award;
pub mod badge_class;
pub mod completion;
pub mod course_key;
pub mod evaluate;
pub mod event;
pub mod event_badges;
pub mod facts;
pub mod image;
pub mod limits;
pub mod losses;
pub mod next_step;

pub use course_key::CourseKey;
pub use event::{Event, EventBody, LearnerId};
